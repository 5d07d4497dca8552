// SPDX-License-Identifier: Apache-2.0
// Sin: loses the value that a thread ends with.
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

void pthread_exit(void* value) {
  void (*real)(void*) __attribute__((noreturn));
  *(void**)&real = dlsym(RTLD_NEXT, "pthread_exit");
  (void)value;
  real(NULL);
}
