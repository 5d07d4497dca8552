// SPDX-License-Identifier: Apache-2.0
// Sin: a handler that runs on whatever stack there is.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static void Handle(int sig) { (void)sig; }

static void Arm(void) {
  const struct itimerval every = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_PROF, &every, NULL);
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Handle;
  sigaction(SIGPROF, &action, NULL);
  Arm();
  pthread_atfork(NULL, NULL, Arm);
}
