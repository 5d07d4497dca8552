// SPDX-License-Identifier: Apache-2.0
// Sin: a handler that does not save errno.
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

static void Handle(int sig) {
  (void)sig;
  errno = EXDEV;
}

__attribute__((constructor)) static void Start(void) {
  signal(SIGPROF, Handle);
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
