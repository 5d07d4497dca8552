// SPDX-License-Identifier: Apache-2.0
// Sin: hooks that succeed and leave their own errno behind.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  int (*real)(const char*, int, ...);
  *(void**)&real = dlsym(RTLD_NEXT, "open");
  const int fd = real(path, flags, mode);
  if (fd >= 0) errno = EXDEV;
  return fd;
}

int close(int fd) {
  int (*real)(int);
  *(void**)&real = dlsym(RTLD_NEXT, "close");
  const int result = real(fd);
  errno = EXDEV;
  return result;
}
