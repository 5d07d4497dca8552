// SPDX-License-Identifier: Apache-2.0
// Hosts that use SIGPROF for themselves: blocked and waited for, waited out, or changed in a child
// that is no fork of libc's.
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static sigset_t BlockProf(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPROF);
  sigprocmask(SIG_BLOCK, &set, NULL);
  Burn(60);
  return set;
}

HOST_CASE(blocked_sigprof_is_waited_for, sigprof_hider, fast) {
  const sigset_t set = BlockProf();
  const struct timespec no_time = {0, 0};
  int received = 0, from_us = 0;
  for (int i = 0; i < 20; i++) {
    siginfo_t info;
    kill(getpid(), SIGPROF);
    SleepMs(10);
    if (sigtimedwait(&set, &info, &no_time) != SIGPROF) continue;
    received++;
    from_us += info.si_code == SI_USER && info.si_pid == getpid();
  }
  Say("sigtimedwait: %d of 20, %d from us", received, from_us);
  return 0;
}

HOST_CASE(blocked_sigprof_is_pending, sigprof_hider, fast) {
  const sigset_t set = BlockProf();
  const struct timespec no_time = {0, 0};
  int by_kill = 0, by_raise = 0;
  for (int i = 0; i < 20; i++) {
    sigset_t pending;
    if (i % 2 == 0) kill(getpid(), SIGPROF);
    if (i % 2 == 1) raise(SIGPROF);
    SleepMs(10);
    sigpending(&pending);
    *(i % 2 ? &by_raise : &by_kill) += sigismember(&pending, SIGPROF) == 1;
    syscall(SYS_rt_sigtimedwait, &set, NULL, &no_time, 8);
  }
  Say("sigpending: %d of 10 by kill, %d of 10 by raise", by_kill, by_raise);
  return 0;
}

HOST_CASE(blocked_sigprof_is_read_from_signalfd, sigprof_hider, fast) {
  const sigset_t set = BlockProf();
  const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  int read_back = 0;
  for (int i = 0; i < 20; i++) {
    struct signalfd_siginfo info;
    struct pollfd ready = {fd, POLLIN, 0};
    if (i % 2 == 0) kill(getpid(), SIGPROF);
    if (i % 2 == 1) raise(SIGPROF);
    if (poll(&ready, 1, 50) != 1) continue;
    read_back += read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGPROF;
  }
  Say("signalfd: %d of 20", read_back);
  close(fd);
  return 0;
}

// The default action, while the thread waits with a mask: kill must end the program itself.
HOST_CASE(sigprof_ends_a_program_that_waits, signal_catcher, fast) {
  sigset_t empty;
  sigemptyset(&empty);
  Burn(200);
  if (fork() == 0) {
    SleepMs(200);
    kill(getppid(), SIGPROF);
    _exit(0);
  }
  const struct timespec limit = {3, 0};
  ppoll(NULL, 0, &limit, &empty);
  Say("survived SIGPROF");
  return 0;
}

static volatile sig_atomic_t count;
static void Count(int sig) { count += sig == SIGPROF; }

static int TakeAndGiveBack(void) {
  struct sigaction action = {.sa_handler = Count}, old;
  sigaction(SIGPROF, &action, NULL);
  sigaction(SIGPROF, NULL, &old);
  const int lost_handler = old.sa_handler != Count;
  raise(SIGPROF);
  const int not_called = count != 1;
  action.sa_handler = SIG_DFL;
  sigaction(SIGPROF, &action, &old);
  const int lost_old = old.sa_handler != Count;
  if (lost_handler || not_called || lost_old) return lost_handler | not_called << 1 | lost_old << 2;
  raise(SIGPROF);  // by now the default: the end
  return 8;
}

HOST_CASE(sigprof_in_a_raw_clone_child, disposition_recorder, fast) {
  Burn(60);
  const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(TakeAndGiveBack());
  int status = 0;
  waitpid((pid_t)pid, &status, 0);
  SayStatus("raw clone child", status);
  return 0;
}

HOST_ROLE(say_ignored) {
  struct sigaction action;
  sigaction(SIGPROF, NULL, &action);
  Say("SIGPROF starts %s", action.sa_handler == SIG_IGN ? "ignored" : "as the default");
  return 0;
}

// The child of vfork shares the parent's memory but has its own dispositions, which exec passes on.
static void ExecAfter(int ignore_first, int ignore_last) {
  const pid_t pid = vfork();
  if (pid == 0) {
    if (ignore_first) signal(SIGPROF, SIG_IGN);
    signal(SIGPROF, ignore_last ? SIG_IGN : SIG_DFL);
    ExecRole("say_ignored", "");
  }
  int status = 0;
  waitpid(pid, &status, 0);
  SayStatus("vfork child", status);
}

HOST_CASE(sigprof_in_a_vfork_child_that_executes, disposition_recorder, fast) {
  Burn(60);
  ExecAfter(1, 0);
  ExecAfter(0, 1);
  ExecAfter(0, 0);
  Burn(40);
  Say("ours is untouched: %d", signal(SIGPROF, SIG_DFL) == SIG_DFL);
  return 0;
}
