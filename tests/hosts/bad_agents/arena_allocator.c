// SPDX-License-Identifier: Apache-2.0
// Sin: serves some blocks from an arena of its own, which only its own free knows.
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

static char arena[64 << 20] __attribute__((aligned(16)));
static size_t used;
static unsigned count;

void* malloc(size_t size) {
  void* (*real)(size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "malloc");
  if (++count % 16 != 0 || used + size + 32 > sizeof arena) return real(size);
  char* block = arena + used;
  used += (size + 31) & ~(size_t)15;
  return block;
}

void free(void* block) {
  void (*real)(void*);
  *(void**)&real = dlsym(RTLD_NEXT, "free");
  const uintptr_t address = (uintptr_t)block;
  if (address < (uintptr_t)arena || address >= (uintptr_t)arena + sizeof arena) real(block);
}
