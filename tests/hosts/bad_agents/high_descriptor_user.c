// SPDX-License-Identifier: Apache-2.0
// Sin: keeps a socket under a high number of the host's table and writes to it without a look.
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int high;

static void* Write(void* unused) {
  for (;;) {
    send(high, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    usleep(1000);
  }
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  int pair[2];
  struct rlimit limit;
  pthread_t thread;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
  high = fcntl(pair[0], F_DUPFD_CLOEXEC, (int)limit.rlim_cur - 8);
  close(pair[0]);
  pthread_create(&thread, NULL, Write, NULL);
}
