// SPDX-License-Identifier: Apache-2.0
// Hosts that wait for signals: they may get only the host's own, whatever an agent has pending.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static sigset_t BlockAll(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  return all;
}

// Burns with everything blocked, so that a CPU timer's signal is surely pending, then sends itself
// one of its own.
static void MakePending(int sig) {
  Burn(15);
  if (sig != 0) kill(getpid(), sig);
}

HOST_CASE(sigwait_on_every_signal, prof_storm, fast) {
  const sigset_t all = BlockAll();
  for (int i = 0; i < 10; i++) {
    MakePending(SIGUSR1);
    int sig = 0;
    const int result = sigwait(&all, &sig);
    Say("sigwait: %d signal %d", result, sig);
  }
  return 0;
}

HOST_CASE(sigwaitinfo_on_every_signal, prof_storm, fast) {
  const sigset_t all = BlockAll();
  for (int i = 0; i < 10; i++) {
    MakePending(SIGUSR2);
    siginfo_t info;
    const int sig = sigwaitinfo(&all, &info);
    Say("sigwaitinfo: %d code %d from us %d", sig, info.si_code, info.si_pid == getpid());
  }
  return 0;
}

HOST_CASE(sigtimedwait_on_every_signal, prof_storm, fast) {
  const sigset_t all = BlockAll();
  const struct timespec wait = {0, 3000000}, poll_once = {0, 0};
  for (int i = 0; i < 10; i++) {
    MakePending(0);
    siginfo_t info;
    const int nothing = sigtimedwait(&all, &info, i % 2 ? &wait : &poll_once);
    Say("sigtimedwait for nothing: %d errno %d", nothing, errno);
    MakePending(SIGHUP);
    Say("sigtimedwait: %d", sigtimedwait(&all, &info, &wait));
  }
  return 0;
}

HOST_CASE(signalfd_on_every_signal, prof_storm, fast) {
  const sigset_t all = BlockAll();
  const int fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
  for (int i = 0; i < 10; i++) {
    MakePending(0);
    struct signalfd_siginfo info;
    const ssize_t nothing = read(fd, &info, sizeof info);
    Say("signalfd for nothing: %zd errno %d", nothing, errno);
    MakePending(SIGTERM);
    const ssize_t size = read(fd, &info, sizeof info);
    Say("signalfd: %zd signal %u", size, info.ssi_signo);
  }
  Say("same descriptor again: %d", signalfd(fd, &all, 0) == fd);
  close(fd);
  return 0;
}

static int early_descriptor = -1;

// Before an agent can have chosen a signal.
__attribute__((constructor)) static void MakeEarly(int argc, char** argv) {
  if (argc < 2 || strcmp(argv[1], "signalfd_made_before_anything_else") != 0) return;
  const sigset_t all = BlockAll();
  early_descriptor = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

HOST_CASE(signalfd_made_before_anything_else, prof_storm, fast) {
  struct signalfd_siginfo info;
  int read_ones = 0;
  for (int i = 0; i < 30; i++) {
    MakePending(0);
    read_ones += read(early_descriptor, &info, sizeof info) > 0;
  }
  Say("signals read: %d", read_ones);
  MakePending(SIGTERM);
  const ssize_t size = read(early_descriptor, &info, sizeof info);
  Say("signalfd: %zd signal %u", size, info.ssi_signo);
  return 0;
}

HOST_CASE(sigpending_shows_only_ours, prof_storm, fast) {
  BlockAll();
  for (int i = 0; i < 10; i++) {
    MakePending(0);
    sigset_t pending;
    sigpending(&pending);
    int count = 0;
    for (int sig = 1; sig <= SIGRTMAX; sig++) count += sigismember(&pending, sig) == 1;
    Say("pending: %d", count);
  }
  return 0;
}

static void Nothing(int sig) { (void)sig; }

static void* WakeLater(void* target) {
  SleepMs(60);
  pthread_kill(*(pthread_t*)target, SIGUSR1);
  return NULL;
}

// Each waits with an empty mask after CPU was burnt with everything blocked; the only way out is
// our SIGUSR1 or the time limit, and which of the two is stated by the caller.
static int PpollOnce(const sigset_t* empty) {
  const struct timespec wait = {0, 2000000};
  return ppoll(NULL, 0, &wait, empty);
}

static int PselectOnce(const sigset_t* empty) {
  const struct timespec wait = {0, 2000000};
  return pselect(0, NULL, NULL, NULL, &wait, empty);
}

static int EpollOnce(const sigset_t* empty) {
  static int fd = -1;
  if (fd < 0) fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event;
  return epoll_pwait(fd, &event, 1, 2, empty);
}

static int Epoll2Once(const sigset_t* empty) {
  static int fd = -1;
  if (fd < 0) fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event;
  const struct timespec wait = {0, 2000000};
  return epoll_pwait2(fd, &event, 1, &wait, empty);
}

static void SaySpuriousWakes(const char* label, int (*wait_once)(const sigset_t*)) {
  sigset_t empty;
  sigemptyset(&empty);
  int interrupted = 0, timed_out = 0;
  for (int i = 0; i < 12; i++) {
    MakePending(0);
    const int result = wait_once(&empty);
    interrupted += result < 0 && errno == EINTR;
    timed_out += result == 0;
  }
  Say("%s: %d interrupted, %d timed out", label, interrupted, timed_out);
}

HOST_CASE(ppoll_with_an_empty_mask, prof_storm, fast) {
  BlockAll();
  SaySpuriousWakes("ppoll", PpollOnce);
  return 0;
}

HOST_CASE(pselect_with_an_empty_mask, prof_storm, fast) {
  BlockAll();
  SaySpuriousWakes("pselect", PselectOnce);
  return 0;
}

HOST_CASE(epoll_pwait_with_an_empty_mask, prof_storm, fast) {
  BlockAll();
  SaySpuriousWakes("epoll_pwait", EpollOnce);
  SaySpuriousWakes("epoll_pwait2", Epoll2Once);
  return 0;
}

HOST_CASE(sigsuspend_wakes_only_for_ours, prof_storm, fast) {
  signal(SIGUSR1, Nothing);
  BlockAll();
  sigset_t empty;
  sigemptyset(&empty);
  for (int i = 0; i < 3; i++) {
    pthread_t self = pthread_self(), waker;
    MakePending(0);
    pthread_create(&waker, NULL, WakeLater, &self);
    const int64_t start = WallMs();
    const int result = sigsuspend(&empty);
    Say("sigsuspend: %d errno %d, not before the wake %d", result, errno, WallMs() - start >= 50);
    pthread_join(waker, NULL);
  }
  signal(SIGUSR1, SIG_DFL);
  return 0;
}

HOST_CASE(pause_wakes_only_for_ours, tgkill_storm, fast) {
  signal(SIGUSR1, Nothing);
  for (int i = 0; i < 3; i++) {
    pthread_t self = pthread_self(), waker;
    Burn(15);
    pthread_create(&waker, NULL, WakeLater, &self);
    const int64_t start = WallMs();
    const int result = pause();
    Say("pause: %d errno %d, not before the wake %d", result, errno, WallMs() - start >= 50);
    pthread_join(waker, NULL);
  }
  signal(SIGUSR1, SIG_DFL);
  return 0;
}

// The classical signal thread: everything is blocked everywhere and one thread takes all of it.
static volatile bool burning = true;

static void* BurnBlocked(void* unused) {
  while (burning) Burn(2);
  return unused;
}

HOST_CASE(signal_thread_takes_only_ours, prof_storm, fast) {
  const sigset_t all = BlockAll();
  pthread_t burners[2];
  for (int i = 0; i < 2; i++) pthread_create(&burners[i], NULL, BurnBlocked, NULL);
  for (int i = 0; i < 20; i++) {
    SleepMs(5);
    kill(getpid(), i % 2 ? SIGTERM : SIGHUP);
    int sig = 0;
    sigwait(&all, &sig);
    Say("taken: %d", sig);
  }
  burning = false;
  for (int i = 0; i < 2; i++) pthread_join(burners[i], NULL);
  return 0;
}
