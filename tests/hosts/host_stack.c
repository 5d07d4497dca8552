// SPDX-License-Identifier: Apache-2.0
// Hosts that run on stacks of their own making, or at the very end of one, while they burn CPU.
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static char* NewStack(size_t size) {
  // A page that faults on each side, as careful hosts have it.
  char* block = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(block + 4096, size, PROT_READ | PROT_WRITE);
  return block + 4096;
}

static bool UseAlternateStack(size_t size) {
  const stack_t stack = {.ss_sp = NewStack(size), .ss_size = size};
  return sigaltstack(&stack, NULL) == 0;
}

static volatile sig_atomic_t handled;

static void BurnInHandler(int sig) {
  (void)sig;
  Burn(30);
  handled++;
}

// 8 KiB is what most programs give; the kernel's frame for our handler and the next signal's must
// both fit.
HOST_CASE(handler_burns_on_an_8_kib_alternate_stack, stack_eater, fast) {
  Say("sigaltstack %d", UseAlternateStack(8192));
  struct sigaction action = {.sa_handler = BurnInHandler, .sa_flags = SA_ONSTACK};
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 8; i++) raise(SIGUSR1);
  Say("handled %d", (int)handled);
  signal(SIGUSR1, SIG_DFL);
  return 0;
}

// MINSIGSTKSZ is what the kernel accepts and less than its own frame on processors with wide
// registers: kept for a SIGSEGV that never comes, it costs nothing.
HOST_CASE(small_alternate_stack_while_burning, handler_on_the_alternate_stack, fast) {
  struct sigaction action = {.sa_handler = BurnInHandler, .sa_flags = SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  Say("sigaltstack %d", UseAlternateStack(2048));
  Burn(500);
  const stack_t none = {.ss_flags = SS_DISABLE};
  Say("disabled %d", sigaltstack(&none, NULL));
  Burn(100);
  signal(SIGSEGV, SIG_DFL);
  return 0;
}

static sigjmp_buf overflow;

static void OnOverflow(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info, (void)context;
  siglongjmp(overflow, 1);
}

static volatile int depth;

__attribute__((noinline)) static int Recurse(int level) {
  volatile char frame[200];
  frame[0] = (char)level;
  depth = level;
  if (level % 64 == 0) {
    for (volatile int i = 0; i < 3000; i++) {
    }
  }
  return Recurse(level + 1) + frame[0];
}

static void* OverflowOnce(void* unused) {
  UseAlternateStack(16384);
  struct sigaction action = {.sa_sigaction = OnOverflow, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  if (sigsetjmp(overflow, 1) == 0) Recurse(0);
  return unused;
}

// Stack-overflow detectors (JITs, OCaml, databases) come back from a SIGSEGV at the guard page.
HOST_CASE(overflow_is_detected_again_and_again, stack_eater, fast) {
  int detected = 0;
  for (int i = 0; i < 12; i++) {
    depth = 0;
    OverflowOnce(NULL);
    detected += depth > 1000;
  }
  Say("main: detected %d", detected);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  detected = 0;
  for (int i = 0; i < 30; i++) {
    pthread_t thread;
    depth = 0;
    pthread_create(&thread, &attributes, OverflowOnce, NULL);
    pthread_join(thread, NULL);
    detected += depth > 500;
  }
  Say("threads: detected %d", detected);
  signal(SIGSEGV, SIG_DFL);
  // The alternate stack of main is reported by size; restore none.
  const stack_t none = {.ss_flags = SS_DISABLE};
  sigaltstack(&none, NULL);
  return 0;
}

// Burns with sp a few bytes above the end of a stack, where no handler's frame fits: nothing may
// fault.
static volatile unsigned spins;

__attribute__((noinline)) static void SpinHere(void) {
  for (unsigned i = 0; i < 150000000; i++) spins += i;
}

static void OnFault(int sig) {
  (void)sig;
  _exit(9);
}

static int BurnAtTheEnd(void* room) {
  char* stack = NewStack(65536);
  UseAlternateStack(16384);
  struct sigaction action = {.sa_handler = OnFault, .sa_flags = SA_ONSTACK};
  sigaction(SIGSEGV, &action, NULL);
  char* top = stack + *(int*)room;
  __asm__ volatile(
      "mov %%rsp, %%rbx\n"
      "mov %0, %%rsp\n"
      "call *%1\n"
      "mov %%rbx, %%rsp\n"
      :
      : "r"(top), "r"(SpinHere)
      : "rbx", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
  return 50;
}

// The host has an alternate stack, so a well-behaved handler asks for it.
HOST_CASE(burning_at_the_end_of_a_stack, handler_on_the_same_stack, fast) {
  for (int room = 256; room <= 4096; room *= 4) SayStatus("spun", InChild(BurnAtTheEnd, &room));
  return 0;
}

static ucontext_t back, fibers[4];
static int switches;

static void Fiber(void) {
  for (int i = 0; i < 25; i++) {
    Burn(2);
    switches++;
    swapcontext(&fibers[switches % 4], &back);
  }
}

HOST_CASE(fibers_by_ucontext, stack_eater, fast) {
  static bool fresh[4] = {true, true, true, true};
  for (int i = 0; i < 4; i++) {
    getcontext(&fibers[i]);
    fibers[i].uc_stack.ss_sp = NewStack(12288);
    fibers[i].uc_stack.ss_size = 12288;
    fibers[i].uc_link = &back;
    makecontext(&fibers[i], Fiber, 0);
  }
  for (int i = 0; i < 60; i++) {
    const int next = (switches + 1) % 4;
    fresh[next] = false;
    swapcontext(&back, &fibers[next]);
  }
  Say("switches %d, unused %d", switches, fresh[0] + fresh[1] + fresh[2] + fresh[3]);
  return 0;
}

static sigjmp_buf out;

static void JumpOut(int sig) {
  (void)sig;
  siglongjmp(out, 1);
}

HOST_CASE(longjmp_out_of_handlers, signal_catcher, fast) {
  struct sigaction action = {.sa_handler = JumpOut};
  sigaction(SIGTERM, &action, NULL);
  volatile int jumps = 0;
  for (volatile int i = 0; i < 300; i++) {
    if (sigsetjmp(out, 1) == 0) {
      kill(getpid(), SIGTERM);
      Say("FAILED: not reached");
    }
    jumps++;
    Burn(i % 10 == 0);
  }
  Say("jumps %d", jumps);
  signal(SIGTERM, SIG_DFL);
  signal(SIGSEGV, SIG_DFL);
  struct sigaction seen;
  sigaction(SIGPROF, NULL, &seen);
  Say("SIGPROF default %d", seen.sa_handler == SIG_DFL);
  return 0;
}

// Go-like preemption and garbage collectors read and write the interrupted registers.
static void CountUp(int sig, siginfo_t* info, void* context) {
  (void)sig, (void)info;
  ucontext_t* machine = context;
  handled += machine->uc_mcontext.gregs[REG_RSP] != 0 && machine->uc_mcontext.gregs[REG_RIP] != 0;
}

HOST_CASE(registers_survive_many_signals, register_clobber, fast) {
  struct sigaction action = {.sa_sigaction = CountUp, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  const struct itimerval every = {{0, 1000}, {0, 1000}};
  setitimer(ITIMER_REAL, &every, NULL);
  double sum = 0;
  for (unsigned i = 1; i < 60000000; i++) sum += 1.0 / ((double)i * (double)i);
  const struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  Say("sum %.15f, handled some %d", sum, handled > 3);
  signal(SIGALRM, SIG_DFL);
  return 0;
}
