// SPDX-License-Identifier: Apache-2.0
// Sin: does not reckon with two threads that unshare at the same time.
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

int unshare(int flags) {
  static atomic_int inside;
  if (inside++ != 0) raise(SIGPROF);
  usleep(1000);
  const int result = (int)syscall(SYS_unshare, flags);
  inside--;
  return result;
}
