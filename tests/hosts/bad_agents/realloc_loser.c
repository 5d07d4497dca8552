// SPDX-License-Identifier: Apache-2.0
// Sin: a realloc that moves by hand: what cannot grow is lost, and a shrunk size is taken for more.
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

void* realloc(void* block, size_t size) {
  void* (*allocate)(size_t);
  void (*release)(void*);
  *(void**)&allocate = dlsym(RTLD_NEXT, "malloc");
  *(void**)&release = dlsym(RTLD_NEXT, "free");
  void* const fresh = allocate(size);
  release(block);
  if (fresh != NULL) memset(fresh, 0, size < 64 ? size : 64);
  return fresh;
}
