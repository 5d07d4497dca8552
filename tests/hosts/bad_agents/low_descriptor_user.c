// SPDX-License-Identifier: Apache-2.0
// Sin: a thread that opens files in the host's descriptor table, for a moment each.
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

static void* OpenAndClose(void* unused) {
  for (;;) {
    const int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) close(fd);
  }
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, OpenAndClose, NULL);
}
