// SPDX-License-Identifier: Apache-2.0
// Hosts that call the allocator in a state that libc's does not mind: their own floating-point
// environment, a stack that is not aligned, a stack that is nearly used up.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xmmintrin.h>

#include "tests/hosts/host.h"

enum { kRounds = 50000, kLargest = 4096 };

static void UseAllocator(size_t size) {
  void* volatile block = malloc(size);
  block = realloc(block, size + kLargest / 2);
  free(block);
}

HOST_CASE(floating_point_flags_stay, float_disturber, fast) {
  unsigned raised = 0;
  _MM_SET_EXCEPTION_STATE(0);
  for (int i = 0; i < kRounds; i++) {
    UseAllocator((size_t)(i % kLargest));
    raised |= _MM_GET_EXCEPTION_STATE();
  }
  Say("flags raised by allocations: %u", raised);
  return 0;
}

static int AllocateWithSignals(void* argument) {
  (void)argument;
  const unsigned wanted = _MM_ROUND_UP | _MM_FLUSH_ZERO_ON;  // no exception is masked
  _mm_setcsr(wanted);
  for (int i = 0; i < kRounds; i++) UseAllocator((size_t)(i % kLargest));
  return _mm_getcsr() == wanted ? 3 : 4;
}

HOST_CASE(floating_point_signals_wanted, float_disturber, fast) {
  const unsigned usual = _mm_getcsr();
  SayStatus("the child", InChild(AllocateWithSignals, NULL));
  const int here = AllocateWithSignals(NULL);
  _mm_setcsr(usual);
  Say("here: %d", here);
  return 0;
}

// Calls function(argument) with a stack pointer that is 8 bytes beside what the ABI demands.
static void* CallUnaligned(void* (*function)(size_t), size_t argument) {
  void* result;
  __asm__ volatile(
      "mov %%rsp, %%rbx\n\t"
      "and $-16, %%rsp\n\t"
      "sub $136, %%rsp\n\t"
      "call *%2\n\t"
      "mov %%rbx, %%rsp"
      : "=a"(result), "+D"(argument)
      : "r"(function)
      : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
  return result;
}

static void* FreeOne(size_t block) {
  free((void*)block);
  return NULL;
}

HOST_CASE(callers_with_unaligned_stacks, stack_aligner, fast) {
  int given = 0;
  for (int i = 0; i < kRounds; i++) {
    void* block = CallUnaligned(malloc, (size_t)(16 + i % 500));
    given += block != NULL;
    CallUnaligned(FreeOne, (size_t)block);
  }
  Say("blocks: %d of %d", given, kRounds);
  return 0;
}

static char* stack_low;

static __attribute__((noinline)) void AllocateAt(long bytes_left) {
  volatile char frame[64];
  frame[0] = 1;
  if ((char*)frame - stack_low < bytes_left) {
    UseAllocator(100);
  } else {
    AllocateAt(bytes_left);
  }
  frame[1] = 2;
}

static void* FromRoomyToTight(void* unused) {
  for (long left = 6000; left >= 550; left -= 50) {
    for (int i = 0; i < 20; i++) AllocateAt(left);
  }
  return unused;
}

// No signal of the CPU collector may come here: its frame alone is larger than what is left.
HOST_CASE(callers_with_little_stack, stack_aligner, fast) {
  enum { kStack = 16384, kGuard = 4096 };
  char* memory = (char*)mmap(NULL, kStack + kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_low = memory + kGuard;
  mprotect(stack_low, kStack, PROT_READ | PROT_WRITE);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack_low, kStack);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, FromRoomyToTight, NULL);
  if (error == 0) pthread_join(thread, NULL);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  munmap(memory, kStack + kGuard);
  Say("thread: %d", error);
  return 0;
}
