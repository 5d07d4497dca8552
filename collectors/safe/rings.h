// SPDX-License-Identifier: Apache-2.0
// io_uring, and why a thread that waits in it is not sampled. A wait of poll or read begins when
// the call does nothing else any more; io_uring_enter works first, and then waits. A CPU timer that
// expires while it works leaves its signal for the wait, which returns with fewer completions than
// were asked for, or EINTR. The call is inline code in liburing's callers, so no hook sees it.
//
// What is known of it: whether this process has had a ring (inherited by a forked child, as rings
// are), and, in the signal handler, whether the interrupted thread has just come out of that call.
// Any thread. Memory: one word.
#pragma once

#include <signal.h>
#include <ucontext.h>

namespace sonde {

inline constexpr int kRingEnter = 426;  // io_uring_enter

// This process has a ring. Async-signal-safe.
void NoteRing();
bool ProcessHasRing();

// Whether the signal came at the end of io_uring_enter, as the code before shows: one that loads
// the number, inline or for libc's syscall(). A number that comes from elsewhere is not seen.
// Async-signal-safe.
bool CameOutOfRing(const ucontext_t& context);

}  // namespace sonde
