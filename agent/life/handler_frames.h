// SPDX-License-Identifier: Apache-2.0
// Whether the calling thread may be inside a signal handler of the host. poll, accept and select
// are permitted there, and may be the call at which the agent wakes up; but a thread is made by
// libc's pthread_create, which allocates, and the interrupted code may hold malloc's lock.
//
// Called by a host thread that is about to make the agent's, one at a time in a process.
// Async-signal-safe. Memory: 4 KiB, static.
#pragma once

namespace sonde::life {

// True where a signal frame lies on the stack, or a remnant of one that looks like it; then the
// next call that wakes the agent decides. False also where the kernel does not let us read. Up to a
// millisecond.
bool MayBeInHandler();

}  // namespace sonde::life
