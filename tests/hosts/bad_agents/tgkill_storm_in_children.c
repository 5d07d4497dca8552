// SPDX-License-Identifier: Apache-2.0
// Sin: signals itself in forked children.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

static void Sample(int sig) { (void)sig; }

static void Arm(void) {
  signal(SIGPROF, Sample);
  const struct itimerval every = {{0, 5000}, {0, 5000}};
  setitimer(ITIMER_PROF, &every, NULL);
}

__attribute__((constructor)) static void Start(void) { pthread_atfork(NULL, NULL, Arm); }
