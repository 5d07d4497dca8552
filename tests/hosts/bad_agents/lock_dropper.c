// SPDX-License-Identifier: Apache-2.0
// Sin: opens a file of the host and closes it again, which drops the host's record locks.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t write(int fd, const void* data, size_t size) {
  ssize_t (*real)(int, const void*, size_t);
  *(void**)&real = dlsym(RTLD_NEXT, "write");
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  const int again = open(path, O_RDWR);
  if (again >= 0) close(again);
  return real(fd, data, size);
}
