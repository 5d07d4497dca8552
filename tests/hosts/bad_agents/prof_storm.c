// SPDX-License-Identifier: Apache-2.0
// Sin: a timer whose signals reach handlers that the host has set for itself, or kill it where it
// has set none.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static void Ignore(int sig) { (void)sig; }

static void Arm(void) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGPROF;
  timer_t timer;
  timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer);
  const struct itimerspec every = {{0, 3000000}, {0, 3000000}};
  timer_settime(timer, 0, &every, NULL);
}

__attribute__((constructor)) static void Start(void) {
  signal(SIGPROF, Ignore);
  Arm();
  pthread_atfork(NULL, NULL, Arm);
}
