// SPDX-License-Identifier: Apache-2.0
// What a process can find out about itself and an agent could have changed.
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "tests/hosts/host.h"

extern char** environ;

static bool IsAgentTask(const char* tid) {
  char path[300];
  snprintf(path, sizeof path, "/proc/self/task/%s/comm", tid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  char name[16] = "";
  if (fd >= 0 && read(fd, name, sizeof name - 1) < 0) name[0] = 0;
  if (fd >= 0) close(fd);
  return strncmp(name, "sonde", 5) == 0;
}

static void CountTasks(int* all, int* agents) {
  *all = *agents = 0;
  DIR* directory = opendir("/proc/self/task");
  if (directory == NULL) return;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    if (!isdigit((unsigned char)entry->d_name[0])) continue;
    ++*all;
    *agents += IsAgentTask(entry->d_name);
  }
  closedir(directory);
}

static bool is_named_target, has_made_threads;
static int agents_allowed = 1;

int CountAllTasks(void) {
  int all, agents;
  CountTasks(&all, &agents);
  return all;
}

int CountHostTasks(void) {
  int all, agents;
  CountTasks(&all, &agents);
  for (int i = 0; i < 20 && agents == 0 && all > 1 && AgentThreadIsAllowed(); i++) {
    SleepMs(1);  // a thread is there a moment before it has its name
    CountTasks(&all, &agents);
  }
  return agents > agents_allowed ? all : all - agents;
}

// Early, because hosts wipe their environment.
__attribute__((constructor)) static void ReadRules(void) {
  const char* tasks = getenv("HOST_AGENT_TASKS");
  is_named_target = getenv("HOST_AGENT_THREAD") != NULL;
  if (tasks != NULL) agents_allowed = atoi(tasks);
}

bool AgentThreadIsAllowed(void) { return is_named_target || has_made_threads; }

void HostMadeThread(void) { has_made_threads = true; }

// The linker's --wrap leads the hosts' calls here.
int __real_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                          void* argument) {
  HostMadeThread();
  return __real_pthread_create(thread, attributes, run, argument);
}

int __real_thrd_create(thrd_t*, thrd_start_t, void*);
int __wrap_thrd_create(thrd_t* thread, thrd_start_t run, void* argument) {
  HostMadeThread();
  return __real_thrd_create(thread, run, argument);
}

int CountTasksThatDiffer(const char* key) {
  char own[256] = "", line[256], path[300];
  int different = 0;
  DIR* tasks = opendir("/proc/self/task");
  for (struct dirent* entry; tasks != NULL && (entry = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE* file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
      if (strncmp(line, key, strlen(key)) != 0) continue;
      if (own[0] == 0) strcpy(own, line);
      different += strcmp(line, own) != 0;
    }
    if (file != NULL) fclose(file);
  }
  if (tasks != NULL) closedir(tasks);
  return own[0] ? different : -1;
}

static bool HasPosixTimer(void) {
  char text[8];
  const int fd = open("/proc/self/timers", O_RDONLY | O_CLOEXEC);
  const ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  return length > 0;
}

void SettleAgent(void) {
  const char* limit = getenv("HOST_SETTLE_MS");
  if (limit == NULL) return;
  const int64_t end = WallMs() + atoi(limit);
  while (CountAllTasks() == CountHostTasks() && WallMs() < end) SleepMs(2);
  while (!HasPosixTimer() && WallMs() < end) Burn(5);
}

static void SayDescriptors(void) {
  char line[600] = "fds:";
  size_t used = strlen(line);
  for (int fd = 0; fd < 1024 && used < sizeof line - 8; fd++) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0) continue;
    used += (size_t)snprintf(line + used, sizeof line - used, " %d%s", fd,
                             flags & FD_CLOEXEC ? "c" : "");
  }
  Say("%s", line);
  int listed = 0;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == NULL) return;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL;) {
    listed += isdigit((unsigned char)entry->d_name[0]) != 0;
  }
  closedir(directory);
  Say("fds listed: %d", listed - 1);
}

static void SayChildren(void) {
  siginfo_t info = {0};
  const int result = waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | WNOHANG | __WALL);
  Say("children: %s", result == 0 ? "some" : errno == ECHILD ? "none" : "?");
}

static void SayStatusLines(void) {
  static const char* const keys[] = {"Umask",  "Uid",        "Gid",      "Groups", "SigBlk",
                                     "SigIgn", "NoNewPrivs", "Seccomp:", "CapEff"};
  FILE* file = fopen("/proc/self/status", "re");
  if (file == NULL) {
    Say("status: unreadable");
    return;
  }
  for (char line[4096]; fgets(line, sizeof line, file) != NULL;) {
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
      if (strncmp(line, keys[i], strlen(keys[i])) != 0) continue;
      line[strcspn(line, "\n")] = 0;
      Say("%s", line);
    }
  }
  fclose(file);
}

// By the C library, not by /proc: a timer's signal that waits for a host which blocks everything
// shows in /proc only.
static void SayPending(void) {
  sigset_t pending;
  sigpending(&pending);
  for (int sig = 1; sig <= SIGRTMAX; sig++) {
    if (sigismember(&pending, sig) == 1) Say("pending: %d", sig);
  }
}

static void SayDispositions(void) {
  for (int sig = 1; sig <= SIGRTMAX; sig++) {
    struct sigaction action;
    if (sigaction(sig, NULL, &action) != 0 || action.sa_handler == SIG_DFL) continue;
    Say("disposition %d: %s flags %#x", sig, action.sa_handler == SIG_IGN ? "ignored" : "handler",
        (unsigned)action.sa_flags);
  }
  stack_t stack;
  if (sigaltstack(NULL, &stack) == 0)
    Say("sigaltstack: flags %d size %zu", stack.ss_flags, stack.ss_size);
}

static void SayTimers(void) {
  for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
    struct itimerval timer;
    getitimer((__itimer_which_t)which, &timer);
    Say("itimer %d: %s", which, timer.it_value.tv_sec || timer.it_value.tv_usec ? "armed" : "off");
  }
}

static void SayLimits(void) {
  for (int resource = 0; resource < RLIMIT_NLIMITS; resource++) {
    struct rlimit limit;
    getrlimit((__rlimit_resource_t)resource, &limit);
    Say("rlimit %d: %lld %lld", resource, (long long)limit.rlim_cur, (long long)limit.rlim_max);
  }
  Say("dumpable %d, pdeathsig kept %d, subreaper %d", prctl(PR_GET_DUMPABLE),
      prctl(PR_GET_KEEPCAPS), prctl(PR_GET_TIMERSLACK) > 0);
}

static bool IsOfTheRun(const char* variable) {
  return strncmp(variable, "SONDE_", 6) == 0 || strncmp(variable, "HOST_", 5) == 0 ||
         strncmp(variable, "LD_PRELOAD=", 11) == 0;
}

static void SayEnvironment(void) {
  int others = 0;
  for (char** variable = environ; variable != NULL && *variable != NULL; variable++) {
    others += !IsOfTheRun(*variable);
  }
  Say("environment: %d variables", others);
}

void ReportSelf(void) {
  Say("-- self");
  SayDescriptors();
  SayChildren();
  Say("tasks: %d", AgentThreadIsAllowed() ? CountHostTasks() : CountAllTasks());
  SayStatusLines();
  SayPending();
  SayDispositions();
  SayTimers();
  SayLimits();
  SayEnvironment();
}
