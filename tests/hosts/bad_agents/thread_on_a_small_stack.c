// SPDX-License-Identifier: Apache-2.0
// Sin: a thread on a stack whose size leaves out the host's thread-local data.
#include <alloca.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

static void* Work(void* unused) {
  char* room = alloca(128 * 1024);
  memset(room, 1, 128 * 1024);
  __asm__ volatile("" : : "r"(room) : "memory");
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 512 * 1024);
  if (pthread_create(&thread, &attributes, Work, NULL) == 0) pthread_join(thread, NULL);
}
