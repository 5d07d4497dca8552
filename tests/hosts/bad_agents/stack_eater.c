// SPDX-License-Identifier: Apache-2.0
// Sin: a signal handler with a big frame.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static volatile char touched;

static void Handle(int sig) {
  volatile char big[24 << 10];
  for (size_t i = 0; i < sizeof big; i += 512) big[i] = (char)sig;
  touched = big[512];
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigaction(SIGPROF, &action, NULL);
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
