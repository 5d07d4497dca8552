// SPDX-License-Identifier: Apache-2.0
// Sin: a thread whose credentials part from the host's, so that libc's broadcast of setgroups fails
// there.
#include <linux/capability.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void* DropAndIdle(void* unused) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  syscall(SYS_capset, &header, data);
  for (;;) pause();
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, DropAndIdle, NULL);
}
