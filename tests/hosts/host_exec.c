// SPDX-License-Identifier: Apache-2.0
// Hosts that replace themselves: nothing of an agent's signals or timers may reach the successor.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static void* BurnForever(void* unused) {
  for (;;) Burn(5);
  return unused;
}

static void StartBurners(int number) {
  for (int i = 0; i < number; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, BurnForever, NULL);
  }
}

// Unblocks everything and lives on for a while: whatever was left pending kills it now.
HOST_ROLE(unblocking_successor) {
  sigset_t pending, none;
  sigpending(&pending);
  int count = 0;
  for (int sig = 1; sig <= SIGRTMAX; sig++) count += sigismember(&pending, sig) == 1;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  Burn(3);
  return count == 0 ? 60 : 61;
}

static int ExecUnderLoad(void* block) {
  if (*(bool*)block) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
  }
  StartBurners(2);
  Burn(12);
  ExecRole("unblocking_successor", NULL);
}

static void SayDeathsOfExecs(int execs, bool block) {
  int good = 0;
  for (int i = 0; i < execs; i++) {
    const int status = InChild(ExecUnderLoad, &block);
    good += WIFEXITED(status) && WEXITSTATUS(status) == 60;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 60) SayStatus("successor", status);
  }
  Say("%s: %d of %d successors lived", block ? "blocked" : "open", good, execs);
}

HOST_CASE(exec_under_load_of_open_signals, sigprof_itimer, fast) {
  SayDeathsOfExecs(20, false);
  return 0;
}

HOST_CASE(exec_under_load_of_blocked_signals, sigprof_itimer, fast) {
  SayDeathsOfExecs(20, true);
  return 0;
}

HOST_CASE(exec_under_load_two_hundred_times, sigprof_itimer, slow) {
  SayDeathsOfExecs(100, false);
  SayDeathsOfExecs(100, true);
  return 0;
}

HOST_ROLE(say_dispositions) {
  ReportSelf();
  return 6;
}

static int ExecWithIgnored(void* unused) {
  (void)unused;
  for (int sig = 1; sig <= SIGRTMAX; sig++) signal(sig, sig % 2 ? SIG_IGN : SIG_DFL);
  signal(SIGPROF, SIG_IGN);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  Burn(20);
  ExecRole("say_dispositions", NULL);
}

HOST_CASE(ignored_signals_are_inherited_by_exec, sigprof_itimer, fast) {
  SayStatus("successor", InChild(ExecWithIgnored, NULL));
  return 0;
}

static void Nothing(int sig) { (void)sig; }

static int ExecWithHandlers(void* unused) {
  (void)unused;
  for (int sig = 1; sig <= SIGRTMAX; sig++) signal(sig, Nothing);
  ExecRole("say_dispositions", NULL);
}

HOST_CASE(handlers_are_reset_by_exec, mask_changer, fast) {
  SayStatus("successor", InChild(ExecWithHandlers, NULL));
  return 0;
}

static void* ExecFromHere(void* unused) {
  Burn(10);
  ExecRole("say_dispositions", NULL);
  return unused;
}

static int ExecFromThread(void* unused) {
  (void)unused;
  StartBurners(2);
  pthread_t thread;
  pthread_create(&thread, NULL, ExecFromHere, NULL);
  for (;;) pause();
  return 99;
}

HOST_CASE(exec_from_a_thread, fd_leak, fast) {
  SayStatus("successor", InChild(ExecFromThread, NULL));
  return 0;
}

static int ExecWithItimer(void* unused) {
  (void)unused;
  const struct itimerval soon = {{0, 0}, {0, 30000}};
  signal(SIGPROF, SIG_IGN);
  setitimer(ITIMER_PROF, &soon, NULL);
  ExecRole("say_dispositions", NULL);
}

HOST_CASE(own_itimer_survives_exec, sigprof_itimer, fast) {
  SayStatus("successor", InChild(ExecWithItimer, NULL));
  return 0;
}

HOST_CASE(failed_exec_leaves_us_whole, mask_changer, fast) {
  char* const arguments[] = {(char*)"none", NULL};
  Burn(20);
  Say("execv of nothing: %d errno %d", execv("/no/such/program", arguments), errno);
  Say("execv of a directory: %d errno %d", execv("/", arguments), errno);
  Say("execvp of nothing: %d errno %d", execvp("no-such-program", arguments), errno);
  const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  Say("fexecve of a device: %d errno %d", fexecve(fd, arguments, arguments), errno);
  close(fd);
  Burn(20);
  return 0;
}

static int ExecBare(void* unused) {
  (void)unused;
  char* const arguments[] = {(char*)"env", NULL};
  char* const environment[] = {(char*)"ONLY=this", NULL};
  execve("/usr/bin/env", arguments, environment);
  return 98;
}

HOST_CASE(exec_with_an_own_environment, exec_env_adder, fast) {
  SayStatus("env", InChild(ExecBare, NULL));
  return 0;
}
