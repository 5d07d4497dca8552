// SPDX-License-Identifier: Apache-2.0
// Sin: swallows what the host asks for SIGCHLD.
#include <dlfcn.h>
#include <signal.h>

typedef void (*Handler)(int);

Handler signal(int sig, Handler handler) {
  Handler (*real)(int, Handler);
  *(void**)&real = dlsym(RTLD_NEXT, "signal");
  return sig == SIGCHLD ? SIG_DFL : real(sig, handler);
}
