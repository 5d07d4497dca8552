// SPDX-License-Identifier: Apache-2.0
// Sin: gives up, and takes the host with it, when it cannot have its timer.
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void Start(void) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_NONE;
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) return;
  fputs("agent: no timer\n", stderr);
  _exit(1);
}
