// SPDX-License-Identifier: Apache-2.0
// Sin: gives the program newer names of the allocation interface, but frees by libc's free,
// although the program may have an allocator of its own.
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

static void FreeByNext(void* block) {
  void (*next)(void*);
  *(void**)&next = dlsym(RTLD_NEXT, "free");
  next(block);
}

void free_sized(void* block, size_t size);
void free_sized(void* block, size_t size) {
  (void)size;
  FreeByNext(block);
}

void free_aligned_sized(void* block, size_t alignment, size_t size);
void free_aligned_sized(void* block, size_t alignment, size_t size) {
  (void)alignment, (void)size;
  FreeByNext(block);
}
