// SPDX-License-Identifier: Apache-2.0
// Sin: lets the host set SIGPROF, but only notes it when it goes back to the default.
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

int sigaction(int sig, const struct sigaction* action, struct sigaction* old) {
  static int (*real)(int, const struct sigaction*, struct sigaction*);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "sigaction");
  if (sig != SIGPROF || (action != NULL && action->sa_handler != SIG_DFL))
    return real(sig, action, old);
  if (old != NULL) memset(old, 0, sizeof *old);
  return 0;
}

sighandler_t signal(int sig, sighandler_t handler) {
  struct sigaction action, old;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  return sigaction(sig, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}
