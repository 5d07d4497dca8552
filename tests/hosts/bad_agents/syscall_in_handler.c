// SPDX-License-Identifier: Apache-2.0
// Sin: a sampling handler that makes a system call, armed in children too.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static void Handle(int sig) {
  (void)sig;
  syscall(SYS_getcpu, NULL, NULL, NULL);
}

static void Arm(void) {
  const struct itimerval every = {{0, 5000}, {0, 5000}};
  setitimer(ITIMER_PROF, &every, NULL);
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Handle;
  action.sa_flags = SA_RESTART;
  sigaction(SIGPROF, &action, NULL);
  Arm();
  pthread_atfork(NULL, NULL, Arm);
}
