// SPDX-License-Identifier: Apache-2.0
// Sin: starts an idle thread in every process it is loaded in.
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static void* Idle(void* unused) {
  for (;;) pause();
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Idle, NULL);
}
