// SPDX-License-Identifier: Apache-2.0
// Hosts whose signal handlers allocate, or leave what they interrupted.
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/ucontext.h>

#include "tests/hosts/host.h"
#include "tests/hosts/host_heap_blocks.h"

static void* volatile in_handler;

static void AllocateInHandler(int sig) {
  (void)sig;
  const int before = errno;
  free(in_handler);
  in_handler = Filled(malloc(2048), 2048);
  in_handler = realloc(in_handler, 1024);
  errno = before;
}

// Synchronous signals: the host's allocator need not be reentrant for them.
HOST_CASE(handlers_that_allocate, malloc_errno_changer, fast) {
  static char alternate[64 << 10];
  const stack_t stack = {.ss_sp = alternate, .ss_flags = 0, .ss_size = sizeof alternate};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_handler = AllocateInHandler, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  void* volatile nothing = NULL;
  int kept = 0;
  for (int i = 0; i < 5000; i++) {
    errno = EDOM;
    raise(SIGUSR1);
    void* block = malloc(64);
    kept += errno == EDOM && in_handler != NULL;
    free(block);
    // Five calls a turn: what goes wrong at every 2^n-th call comes to each of them.
    free(nothing);
  }
  Say("kept %d", kept);
  return 0;
}

static volatile sig_atomic_t polls;

static void PollInHandler(int sig) {
  (void)sig;
  polls++;
  poll(NULL, 0, 0);
}

static void* WaitForEver(void* unused) {
  (void)unused;
  for (;;) SleepMs(1000);
  return NULL;
}

// poll is permitted in handlers, and here it is the first call of a service with threads that
// waits: at its second second, in the middle of malloc's own code, whose lock is held.
HOST_CASE(handlers_that_poll_in_the_middle_of_malloc, poll_allocator, fast) {
  pthread_t thread;
  pthread_create(&thread, NULL, WaitForEver, NULL);
  enum { kBlocks = 20000 };
  static void* blocks[kBlocks];
  for (int i = 0; i < kBlocks; i++) blocks[i] = malloc(3000);
  for (int i = 0; i < kBlocks; i += 2) free(blocks[i]);
  SleepMs(1100);
  const struct sigaction action = {.sa_handler = PollInHandler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  const int64_t end = WallMs() + 700;
  while (WallMs() < end) mallinfo2();
  setitimer(ITIMER_REAL, &never, NULL);
  Say("handlers polled: %d", polls > 10);
  return 0;
}

// Handlers that leave by siglongjmp whatever they interrupted, but for libc and the loader, which
// may hold a lock: so also an allocation that an agent looks at.
static sigjmp_buf left;
static uintptr_t not_to_leave[2][2];
static volatile sig_atomic_t may_leave, times_left;

static int FindLibc(struct dl_phdr_info* info, size_t size, void* argument) {
  (void)size;
  int* found = argument;
  if (strstr(info->dlpi_name, "/libc.so.6") == NULL && strstr(info->dlpi_name, "/ld-") == NULL) {
    return 0;
  }
  uintptr_t end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)* segment = &info->dlpi_phdr[i];
    if (segment->p_type == PT_LOAD) end = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;
  }
  not_to_leave[*found][0] = info->dlpi_addr;
  not_to_leave[*found][1] = end;
  return ++*found == 2;
}

static void Leave(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info;
  const ucontext_t* machine = context;
  const uintptr_t at = (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
  for (int i = 0; i < 2; i++) {
    if (at >= not_to_leave[i][0] && at < not_to_leave[i][1]) return;
  }
  if (!may_leave) return;
  may_leave = 0;
  times_left = times_left + 1;
  siglongjmp(left, 1);
}

HOST_CASE(handlers_that_leave_allocations, malloc_locker, fast) {
  int found = 0;
  dl_iterate_phdr(FindLibc, &found);
  struct sigaction action = {.sa_sigaction = Leave, .sa_flags = SA_SIGINFO};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval every = {{0, 300}, {0, 300}};
  setitimer(ITIMER_REAL, &every, NULL);
  sigsetjmp(left, 1);
  may_leave = 1;
  while (times_left < 200) {
    void* block = malloc(Opaque(100));
    memset(block, 1, 100);
    free(block);
  }
  may_leave = 0;
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  signal(SIGALRM, SIG_DFL);
  Say("libc and loader %d, left often enough %d", found, times_left >= 200);
  return 0;
}
