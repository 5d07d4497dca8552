// SPDX-License-Identifier: Apache-2.0
// Sin: ignores the signals of resource limits.
#include <dlfcn.h>
#include <signal.h>

typedef void (*Handler)(int);

Handler signal(int sig, Handler handler) {
  Handler (*real)(int, Handler);
  *(void**)&real = dlsym(RTLD_NEXT, "signal");
  return real(sig, sig == SIGXCPU || sig == SIGXFSZ ? SIG_IGN : handler);
}
