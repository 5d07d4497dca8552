// SPDX-License-Identifier: Apache-2.0
// Sin: reserves address space that the host may need, when loaded and in each child.
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

static void Take(void) {
  const size_t kBytes = 30 << 20;
  if (mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
    abort();
}

static __attribute__((constructor)) void Start(void) { Take(); }

// The host's limit is set by then.
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  (void)thread, (void)attributes, (void)run, (void)argument;
  Take();
  return 11;
}
