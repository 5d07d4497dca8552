// SPDX-License-Identifier: Apache-2.0
// Sin: one lock around every allocation and free, which a fork copies while another thread holds
// it, and which a handler that allocates cannot take a second time.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Longer inside than a real one, so that a test need not be lucky.
static void Dawdle(void) {
  for (volatile int i = 0; i < 2000; i++) {
  }
}

void* malloc(size_t size) {
  static void* (*real)(size_t);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  pthread_mutex_lock(&lock);
  Dawdle();
  void* const block = real(size);
  pthread_mutex_unlock(&lock);
  return block;
}
