// SPDX-License-Identifier: Apache-2.0
// Sin: hands out timers that are all one, deletes what is not its own.
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

int timer_create(clockid_t clock, struct sigevent* event, timer_t* timer) {
  static timer_t only;
  static int made;
  int (*real)(clockid_t, struct sigevent*, timer_t*);
  *(void**)&real = dlsym(RTLD_NEXT, "timer_create");
  const int result = made++ == 0                         ? real(clock, event, &only)
                     : event->sigev_notify == SIGEV_NONE ? -1
                                                         : 0;
  *timer = only;
  return result;
}

__attribute__((constructor)) static void Start(void) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  timer_t own;
  timer_create(CLOCK_MONOTONIC, &event, &own);
}
