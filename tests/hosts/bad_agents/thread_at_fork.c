// SPDX-License-Identifier: Apache-2.0
// Sin: starts a thread in every forked child.
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static void* Idle(void* unused) {
  for (;;) pause();
  return unused;
}

static void StartInChild(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Idle, NULL);
}

__attribute__((constructor)) static void Start(void) { pthread_atfork(NULL, NULL, StartInChild); }
