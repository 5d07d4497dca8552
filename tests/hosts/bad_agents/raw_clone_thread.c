// SPDX-License-Identifier: Apache-2.0
// Sin: a thread that libc does not know: it keeps its identity when the host changes its own.
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int Idle(void* unused) {
  (void)unused;
  for (;;) syscall(SYS_pause);
  return 0;
}

__attribute__((constructor)) static void Start(void) {
  char* stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  clone(Idle, stack + 65536,
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL);
}
