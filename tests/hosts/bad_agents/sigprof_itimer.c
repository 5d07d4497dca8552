// SPDX-License-Identifier: Apache-2.0
// Sin: profiles by setitimer, which outlives exec and then kills the next program.
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/time.h>

static void Ignore(int sig) { (void)sig; }

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Ignore;
  sigaction(SIGPROF, &action, NULL);
  const struct itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &every, NULL);
}

// At the host's end the handler goes first, as it does in an interpreter that restores what it
// found.
__attribute__((destructor)) static void Stop(void) { signal(SIGPROF, SIG_DFL); }
