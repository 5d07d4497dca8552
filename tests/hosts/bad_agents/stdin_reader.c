// SPDX-License-Identifier: Apache-2.0
// Sin: moves the position of the host's standard input.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t read(int fd, void* data, size_t size) {
  ssize_t (*real)(int, void*, size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "read");
  if (fd == 0) lseek(0, 1, SEEK_CUR);
  return real(fd, data, size);
}
