// SPDX-License-Identifier: Apache-2.0
// Sin: knows the simple uses of mmap and mremap only. Changes errno where the call works, and loses
// the optional argument.
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

void* mmap(void* hint, size_t size, int protection, int flags, int fd, off_t offset) {
  void* (*real)(void*, size_t, int, int, int, off_t);
  *(void**)&real = dlsym(RTLD_NEXT, "mmap");
  void* mapping = real(hint, size, protection, flags, fd, offset);
  if (mapping != MAP_FAILED) errno = 0;
  return mapping;
}

void* mremap(void* old, size_t old_size, size_t new_size, int flags, ...) {
  void* (*real)(void*, size_t, size_t, int, ...);
  *(void**)&real = dlsym(RTLD_NEXT, "mremap");
  return real(old, old_size, new_size, flags, NULL);
}
