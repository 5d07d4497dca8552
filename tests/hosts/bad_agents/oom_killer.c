// SPDX-License-Identifier: Apache-2.0
// Sin: an allocator hook that aborts when memory is refused.
#include <dlfcn.h>
#include <stdlib.h>

void* malloc(size_t size) {
  void* (*real)(size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  void* block = real(size);
  if (block == NULL) abort();
  return block;
}
