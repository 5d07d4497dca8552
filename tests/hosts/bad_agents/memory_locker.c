// SPDX-License-Identifier: Apache-2.0
// Sin: locks pages of its own, in children too.
#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

static char* pages;

static void Lock(void) { mlock(pages, 16384); }

__attribute__((constructor)) static void Start(void) {
  pages = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_atfork(NULL, NULL, Lock);
}
