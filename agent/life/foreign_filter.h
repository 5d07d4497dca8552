// SPDX-License-Identifier: Apache-2.0
// Whether the process came to life under a seccomp filter that may kill it for a system call of
// ours (traps 10). Container runtimes answer a refused call with an error, which the agent
// survives; filters of systemd, firejail and the like kill by default, and a filter cannot be
// asked. So: a filter, and no container. Any thread.
#pragma once

namespace sonde::life {

bool UnderForeignFilter();

}  // namespace sonde::life
