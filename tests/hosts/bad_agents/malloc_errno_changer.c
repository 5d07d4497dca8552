// SPDX-License-Identifier: Apache-2.0
// Sin: allocation hooks that leave an errno of their own behind, once in 64 calls.
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>

static unsigned count;

void* malloc(size_t size) {
  static void* (*real)(size_t);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  void* const block = real(size);
  if (++count % 64 == 0) errno = EXDEV;
  return block;
}

void free(void* block) {
  static void (*real)(void*);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "free");
  real(block);
  if (++count % 64 == 0) errno = EXDEV;
}
