// SPDX-License-Identifier: Apache-2.0
// Sin: keeps one real-time signal for itself.
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>

static void Eat(int sig) { (void)sig; }

int sigaction(int sig, const struct sigaction* action, struct sigaction* old) {
  int (*real)(int, const struct sigaction*, struct sigaction*);
  *(void**)&real = dlsym(RTLD_NEXT, "sigaction");
  if (sig != SIGRTMAX - 1 || action == NULL) return real(sig, action, old);
  struct sigaction own = *action;
  own.sa_handler = Eat;
  return real(sig, &own, old);
}
