// SPDX-License-Identifier: Apache-2.0
// Sin: opens a file when the process ends or leaves a fork child.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

static void Note(void) {
  const int fd = open("/dev/null", O_RDONLY);
  if (fd >= 0) close(fd);
}

__attribute__((destructor)) static void Stop(void) { Note(); }

void _exit(int code) {
  void (*real)(int) __attribute__((noreturn));
  *(void**)&real = dlsym(RTLD_NEXT, "_exit");
  Note();
  real(code);
}
