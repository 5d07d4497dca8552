// SPDX-License-Identifier: Apache-2.0
// Sin: timers without measure, in children too; they count against the user's limit of pending
// signals.
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void Take(void) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGURG;
  timer_t timer;
  for (int i = 0; i < 12; i++) {
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) abort();
  }
}

// Taken once the host has dropped its privileges: by then the user's own count is charged.
int clock_gettime(clockid_t clock, struct timespec* now) {
  static struct rlimit taken;
  struct rlimit limit;
  getrlimit(RLIMIT_SIGPENDING, &limit);
  if (limit.rlim_cur <= 16 && taken.rlim_max == 0) {
    taken.rlim_max = 1;
    Take();
  }
  (void)clock;
  static long ticks;
  ticks += 1000000;
  now->tv_sec = ticks / 1000000000;
  now->tv_nsec = ticks % 1000000000;
  return 0;
}
