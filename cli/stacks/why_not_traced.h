// SPDX-License-Identifier: Apache-2.0
// Says why the kernel does not let us trace a process, and what to do about it. Reads /proc only;
// thread-safe.
#pragma once

#include "cli/outcome.h"

namespace sonde::cli {

// `error` is the errno of PTRACE_SEIZE.
CliError WhyNotTraced(int pid, int error);

// Refuses beforehand what has no stacks: no such process, a zombie, a thread of the kernel, sonde
// itself.
void CheckHasStacks(int pid);

}  // namespace sonde::cli
