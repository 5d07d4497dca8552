// SPDX-License-Identifier: Apache-2.0
// Sin: a handler that runs on the host's alternate stack, however small that is.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static void Handle(int sig) { (void)sig; }

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Handle;
  action.sa_flags = SA_ONSTACK | SA_RESTART;
  sigaction(SIGPROF, &action, NULL);
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
