// SPDX-License-Identifier: Apache-2.0
// Sin: takes SIGPROF and lets the host see it.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static void Ignore(int sig) { (void)sig; }

__attribute__((constructor)) static void Start(void) {
  signal(SIGPROF, Ignore);
  const struct itimerval every = {{0, 3000}, {0, 3000}};
  setitimer(ITIMER_PROF, &every, NULL);
}
