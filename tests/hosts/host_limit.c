// SPDX-License-Identifier: Apache-2.0
// Hosts under tight limits: what an agent takes must not be what the host needs.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

static void Limit(int resource, rlim_t value) {
  const struct rlimit limit = {value, value};
  setrlimit((__rlimit_resource_t)resource, &limit);
}

// Limits count by user: one of its own for each run.
static uid_t OwnUser(void) { return 100000 + (uid_t)getpid(); }

static size_t VirtualBytes(void) {
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == NULL || fscanf(file, "%ld", &pages) != 1) return 0;
  fclose(file);
  return (size_t)pages * 4096;
}

static void* Idle(void* unused) { return unused; }

// 40 MiB above what the process has at the time: an agent that reserves without asking takes the
// host's part.
static int WithLittleAddressSpace(void* unused) {
  (void)unused;
  Limit(RLIMIT_AS, VirtualBytes() + (40 << 20));
  Burn(60);
  int blocks = 0;
  while (blocks < 28 && malloc(1 << 20) != NULL) blocks++;
  Say("got %d blocks of 1 MiB", blocks);
  pthread_t thread;
  const int error = pthread_create(&thread, NULL, Idle, NULL);
  if (error == 0) pthread_join(thread, NULL);
  Say("thread: %d", error);
  while (malloc(4096) != NULL) {
  }
  Say("out of memory: errno %d", errno);
  Burn(60);
  const pid_t pid = fork();
  if (pid == 0) _exit(3);
  int status = 0;
  if (pid > 0) waitpid(pid, &status, 0);  // else its end would race with the report
  Say("fork: %s, child %d", pid < 0 ? "refused" : "went on", WEXITSTATUS(status));
  return 0;
}

HOST_CASE(little_address_space, memory_hog, fast) {
  SayStatus("child", InChild(WithLittleAddressSpace, NULL));
  return 0;
}

HOST_ROLE(start_in_little_memory) {
  Burn(100);
  void* block = malloc(4 << 20);
  Say("block %d", block != NULL);
  return 40;
}

static int ExecWithLimit(void* mib) {
  Limit(RLIMIT_AS, (rlim_t) * (int*)mib << 20);
  ExecRole("start_in_little_memory", NULL);
}

HOST_CASE(started_in_little_memory, memory_hog, fast) {
  for (int mib = 12; mib <= 48; mib += 12) SayStatus("successor", InChild(ExecWithLimit, &mib));
  return 0;
}

static int NoPendingSignals(void* unused) {
  (void)unused;
  Limit(RLIMIT_SIGPENDING, 0);
  Burn(60);
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  const int result = timer_create(CLOCK_MONOTONIC, &event, &timer);
  Say("timer_create: %d errno %d", result, result ? errno : 0);
  Say("sigqueue: %d errno %d", sigqueue(getpid(), SIGRTMIN, (union sigval){0}), errno);
  return 0;
}

HOST_CASE(no_pending_signals_allowed, timer_hog, fast) {
  signal(SIGRTMIN, SIG_IGN);
  SayStatus("child", InChild(NoPendingSignals, NULL));
  return 0;
}

// The limit belongs to the user, so what an agent takes in this process is missing in others.
static int FewPendingSignals(void* unused) {
  (void)unused;
  if (getuid() == 0 && setuid(OwnUser()) != 0) return 98;
  Limit(RLIMIT_SIGPENDING, 16);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  Burn(100);
  int queued = 0;
  while (queued < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0) queued++;
  Check(queued >= 13, "at least 13 of 16 are for the host");
  return 0;
}

HOST_CASE(few_pending_signals_allowed, timer_hog, fast) {
  SayStatus("child", InChild(FewPendingSignals, NULL));
  return 0;
}

static int FewTasks(void* unused) {
  (void)unused;
  if (getuid() != 0) return 77;
  if (setuid(OwnUser()) != 0) return 98;
  Limit(RLIMIT_NPROC, 2);
  Burn(40);
  pthread_t threads[4];
  int made = 0;
  while (made < 4 && pthread_create(&threads[made], NULL, Idle, NULL) == 0)
    pthread_join(threads[made++], NULL);
  Say("threads made one after another: %d", made);
  int children = 0, status;
  for (; children < 3; children++) {
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0 || waitpid(pid, &status, 0) < 0) break;
  }
  Say("children one after another: %d", children);
  return 0;
}

HOST_CASE(few_tasks_allowed, thread_at_fork, fast) {
  SayStatus("child", InChild(FewTasks, NULL));
  return 0;
}

static int LittleCpu(void* unused) {
  (void)unused;
  signal(SIGXCPU, SIG_DFL);
  const struct rlimit limit = {1, 2};
  setrlimit(RLIMIT_CPU, &limit);
  for (;;) Burn(10);
  return 99;
}

HOST_CASE(cpu_limit_kills_with_sigxcpu, sigxcpu_ignorer, slow) {
  SayStatus("child", InChild(LittleCpu, NULL));
  return 0;
}

static int NoFiles(void* unused) {
  (void)unused;
  Limit(RLIMIT_FSIZE, 0);
  signal(SIGXFSZ, SIG_DFL);
  Burn(60);
  const int fd = open("file", O_CREAT | O_WRONLY, 0600);
  return write(fd, "x", 1) == 1 ? 1 : 2;
}

HOST_CASE(file_size_limit_kills_with_sigxfsz, sigxcpu_ignorer, fast) {
  SayStatus("child", InChild(NoFiles, NULL));
  return 0;
}

static int LockedMemory(void* unused) {
  (void)unused;
  if (getuid() == 0 && setuid(OwnUser()) != 0) return 98;
  Limit(RLIMIT_MEMLOCK, 64 << 10);
  Burn(40);
  char* page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Say("mlock of all allowed: %d", mlock(page, 65536));
  Say("mlockall: %d errno %d", mlockall(MCL_FUTURE), errno);
  return 0;
}

HOST_CASE(locked_memory_limit, memory_locker, fast) {
  SayStatus("child", InChild(LockedMemory, NULL));
  return 0;
}
