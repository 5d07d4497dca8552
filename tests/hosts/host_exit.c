// SPDX-License-Identifier: Apache-2.0
// Hosts that end in every way. Each way runs in a child with burnt CPU and threads behind it, so
// that timers are armed.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static void SayFirst(void) { Say("at exit: registered first"); }
static void SaySecond(void) { Say("at exit: registered second"); }
static void SayQuick(void) { Say("at quick exit"); }
__attribute__((destructor)) static void SayDestructor(void) {
  if (getenv("HOST_SAY_DESTRUCTOR") != NULL) Say("destructor of the program");
}

static void RegisterAll(void) {
  setenv("HOST_SAY_DESTRUCTOR", "1", 1);
  atexit(SayFirst);
  atexit(SaySecond);
  at_quick_exit(SayQuick);
  Burn(20);
}

static void* BurnForever(void* unused) {
  for (;;) Burn(5);
  return unused;
}

static void StartBurners(void) {
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, BurnForever, NULL);
  }
}

static int Return(void* code) {
  RegisterAll();
  exit(*(int*)code);
}

HOST_CASE(exit_runs_everything_in_order, exit_changer, fast) {
  for (int code = 0; code < 260; code += 37) SayStatus("exit", InChild(Return, &code));
  return 17;
}

static int ExitAtOnce(void* how) {
  RegisterAll();
  StartBurners();
  Burn(10);
  switch (*(int*)how) {
    case 0:
      _exit(31);
    case 1:
      quick_exit(32);
    case 2:
      syscall(SYS_exit_group, 33);
      break;
    case 3:
      exit(34);
  }
  return 99;
}

HOST_CASE(exit_while_threads_run, exit_changer, fast) {
  for (int how = 0; how < 4; how++) SayStatus("exit while threads run", InChild(ExitAtOnce, &how));
  return 0;
}

static void* ExitHere(void* unused) {
  Burn(10);
  exit(44);
  return unused;
}

static int ExitFromThread(void* unused) {
  (void)unused;
  RegisterAll();
  StartBurners();
  pthread_t thread;
  pthread_create(&thread, NULL, ExitHere, NULL);
  pthread_join(thread, NULL);
  return 99;
}

HOST_CASE(exit_from_another_thread, exit_changer, fast) {
  for (int i = 0; i < 10; i++) SayStatus("exit from a thread", InChild(ExitFromThread, NULL));
  return 0;
}

static void* ExitLater(void* unused) {
  Burn(30);
  Say("the last thread ends the process");
  return unused;
}

static int LeaveMain(void* unused) {
  (void)unused;
  RegisterAll();
  pthread_t thread;
  pthread_create(&thread, NULL, ExitLater, NULL);
  pthread_exit(NULL);
}

// The process ends when the last thread does: a thread of the agent would keep it alive for ever.
HOST_CASE(pthread_exit_from_main, thread_at_fork, fast) {
  SayStatus("main left first", InChild(LeaveMain, NULL));
  return 0;
}

HOST_CASE(pthread_exit_from_main_of_the_program, thread_at_start, fast) {
  pthread_t thread;
  pthread_create(&thread, NULL, ExitLater, NULL);
  Burn(20);
  pthread_exit(NULL);
}

static void SayBuffered(void) { printf("at exit, buffered\n"); }

// With no other thread left the C library ends the process: what is buffered must come out.
HOST_CASE(thrd_exit_from_main_flushes, output_loser, fast) {
  atexit(SayBuffered);
  Burn(40);
  printf("buffered before the end\n");
  thrd_exit(3);
}

HOST_CASE(main_that_is_cancelled_flushes, output_loser, fast) {
  atexit(SayBuffered);
  Burn(40);
  printf("buffered before the end\n");
  pthread_cancel(pthread_self());
  SleepMs(3000);
  return 9;
}

static void* CancelMain(void* main_thread) {
  SleepMs(50);
  pthread_cancel(*(pthread_t*)main_thread);
  Burn(100);
  return NULL;
}

HOST_CASE(main_that_a_thread_cancels_flushes, output_loser, fast) {
  static pthread_t self;
  self = pthread_self();
  atexit(SayBuffered);
  printf("buffered before the end\n");
  pthread_t thread;
  pthread_create(&thread, NULL, CancelMain, &self);
  SleepMs(3000);
  return 9;
}

static volatile int* volatile nowhere;

static int Die(void* sig) {
  RegisterAll();
  StartBurners();
  Burn(10);
  const int number = *(int*)sig;
  if (number == SIGABRT) abort();
  if (number == SIGSEGV) *nowhere = 1;
  if (number == SIGILL) __builtin_trap();
  raise(number);
  return 99;
}

HOST_CASE(death_by_signal_keeps_its_status, signal_catcher, fast) {
  struct rlimit core = {0, RLIM_INFINITY};
  setrlimit(RLIMIT_CORE, &core);
  int signals[] = {SIGABRT, SIGSEGV,   SIGILL,  SIGTERM, SIGKILL, SIGPROF,
                   SIGALRM, SIGVTALRM, SIGUSR1, SIGQUIT, SIGPIPE};
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    SayStatus("died", InChild(Die, &signals[i]));
  }
  return 0;
}

static int DumpCore(void* unused) {
  (void)unused;
  Burn(20);
  abort();
}

// The kernel writes a core file into the working directory; run_host.py compares what files are
// left.
HOST_CASE(abort_dumps_core, signal_catcher, fast) {
  struct rlimit core = {64 << 20, 64 << 20};
  if (setrlimit(RLIMIT_CORE, &core) != 0) return 77;
  SayStatus("abort", InChild(DumpCore, NULL));
  for (int i = 0; i < 10; i++) unlink("core");
  return 0;
}

HOST_CASE(abort_of_the_program, signal_catcher, fast) {
  Burn(20);
  abort();
}

HOST_CASE(killed_from_outside, signal_catcher, fast) {
  for (int i = 0; i < 5; i++) {
    const pid_t pid = fork();
    if (pid == 0) {
      StartBurners();
      for (;;) pause();
    }
    SleepMs(20);
    kill(pid, i % 2 ? SIGTERM : SIGPROF);
    int status = 0;
    waitpid(pid, &status, 0);
    SayStatus("killed", status);
  }
  return 0;
}
