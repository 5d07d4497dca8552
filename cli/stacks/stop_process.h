// SPDX-License-Identifier: Apache-2.0
// Stops a process for a moment, by ptrace, to copy what its stacks need: registers and the used
// part of each stack. The walk comes later, when it runs again.
//
// The tracing is done by a thread of its own, which ends before this returns: whatever happens, an
// interrupt, an exception, a thread that does not stop in time, or sonde being killed, the kernel
// lets go of every thread when its tracer ends. Memory: at most kMaxStackBytes a thread and
// kMaxCopiedBytes in all.
#pragma once

#include <chrono>
#include <cstddef>

#include "cli/stacks/frozen_process.h"

namespace sonde::cli {

inline constexpr size_t kMaxStackBytes = size_t{512} << 10;
inline constexpr size_t kMaxCopiedBytes = size_t{256} << 20;

struct StoppedProcess {
  FrozenProcess process;
  double stopped_ms = 0;     // from the first thread that was asked to stop to the last that ran on
  size_t interrupted = 0;    // calls that return EINTR to the program because of it
  size_t never_stopped = 0;  // threads in uninterruptible sleep
};

// Throws Interrupted, and CliError that says who forbids it and what to do.
StoppedProcess StopAndCopy(int pid, std::chrono::milliseconds patience);

}  // namespace sonde::cli
