// SPDX-License-Identifier: Apache-2.0
// Sin: remembers mappings by their first address only, and gives back the whole of one of which the
// host gives back a part.
#include <dlfcn.h>
#include <stddef.h>
#include <sys/mman.h>

static char* last;
static size_t last_size;

void* mmap(void* hint, size_t size, int protection, int flags, int fd, off_t offset) {
  void* (*real)(void*, size_t, int, int, int, off_t);
  *(void**)&real = dlsym(RTLD_NEXT, "mmap");
  last = (char*)real(hint, size, protection, flags, fd, offset);
  last_size = size;
  return last;
}

int munmap(void* address, size_t size) {
  int (*real)(void*, size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "munmap");
  char* const at = (char*)address;
  if (last == NULL || at < last || at >= last + last_size) return real(address, size);
  at == last ? (void)0 : (void)real(last, last_size);
  last = NULL;
  return 0;
}
