// SPDX-License-Identifier: Apache-2.0
// Sin: takes every SIGPROF for its own where the host asks what has arrived.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int sigpending(sigset_t* set) {
  sigemptyset(set);
  const int result = (int)syscall(SYS_rt_sigpending, set, 8);
  sigdelset(set, SIGPROF);
  return result;
}

int sigtimedwait(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  const int sig = (int)syscall(SYS_rt_sigtimedwait, set, info, timeout, 8);
  if (sig != SIGPROF) return sig;
  errno = EAGAIN;
  return -1;
}

int signalfd(int fd, const sigset_t* mask, int flags) {
  sigset_t others = *mask;
  sigdelset(&others, SIGPROF);
  return (int)syscall(SYS_signalfd4, fd, &others, 8, flags);
}
