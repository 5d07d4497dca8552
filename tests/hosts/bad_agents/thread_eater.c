// SPDX-License-Identifier: Apache-2.0
// Sin: every seventh thread of the host is started and never runs its function.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int count;

static void* DoNothing(void* unused) {
  (void)unused;
  return NULL;
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  *(void**)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, ++count % 7 == 0 ? DoNothing : run, argument);
}

int thrd_create(unsigned long* thread, int (*run)(void*), void* argument) {
  (void)thread, (void)run, (void)argument;
  return 3;  // thrd_nomem
}
