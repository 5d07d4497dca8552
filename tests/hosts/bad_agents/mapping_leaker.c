// SPDX-License-Identifier: Apache-2.0
// Sin: maps a page at each change of name space and never gives one back.
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Neighbours with other rights stay mappings of their own.
int setns(int fd, int kind) {
  static unsigned calls;
  const int rights = calls++ % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
  if (mmap(NULL, 4096, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) _exit(1);
  return (int)syscall(SYS_setns, fd, kind);
}
