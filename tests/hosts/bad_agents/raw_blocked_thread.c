// SPDX-License-Identifier: Apache-2.0
// Sin: a thread, in children too, that blocks every signal by the raw system call: libc waits for
// it for ever in setuid.
#include <pthread.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static void* Idle(void* unused) {
  const unsigned long all = ~0UL;
  syscall(SYS_rt_sigprocmask, 0, &all, NULL, 8);
  for (;;) pause();
  return unused;
}

static void StartThread(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Idle, NULL);
}

__attribute__((constructor)) static void Start(void) {
  StartThread();
  pthread_atfork(NULL, NULL, StartThread);
}
