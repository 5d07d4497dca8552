// SPDX-License-Identifier: Apache-2.0
// Sin: a thread that keeps the root directory of before.
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <unistd.h>

static void* Idle(void* unused) {
  if (unshare(CLONE_FS) != 0) _exit(1);
  for (;;) pause();
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Idle, NULL);
}
