// SPDX-License-Identifier: Apache-2.0
// Sin: an allocator that works only between its own constructor and the end of main.
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static int ready;

static void End(void) { ready = 0; }

__attribute__((constructor(101))) static void Begin(void) {
  ready = 1;
  atexit(End);
}

void* aligned_alloc(size_t alignment, size_t size) {
  void* (*real)(size_t, size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "aligned_alloc");
  if (ready) return real(alignment, size);
  errno = ENOMEM;
  return NULL;
}
