// SPDX-License-Identifier: Apache-2.0
// Sin: kills threads that it does not know: as a handler does that needs thread-local storage set
// up by its own entry.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static void Handle(int sig) {
  (void)sig;
  if (syscall(SYS_gettid) != getpid()) __builtin_trap();
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, NULL);
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
