// SPDX-License-Identifier: Apache-2.0
#include "tests/hosts/host.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

char** host_argv;
int host_argc;

static struct HostEntry* cases;
static struct HostEntry* roles;
static char host_path[4096];

void HostRegisterCase(struct HostEntry* entry) {
  entry->next = cases;
  cases = entry;
}

void HostRegisterRole(struct HostEntry* entry) {
  entry->next = roles;
  roles = entry;
}

void Say(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0) abort();
  if ((size_t)length > sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  for (char* p = line; length > 0;) {
    ssize_t written = write(STDOUT_FILENO, p, (size_t)length);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) p += written, length -= (int)written;
  }
}

void Check(bool truth, const char* label) {
  if (truth) {
    Say("%s: ok", label);
  } else {
    Say("%s: FAILED, errno %d", label, errno);
  }
}

void SayStatus(const char* label, int status) {
  if (WIFEXITED(status)) {
    Say("%s: exit %d", label, WEXITSTATUS(status));
  } else if (WIFSIGNALED(status)) {
    Say("%s: signal %d%s", label, WTERMSIG(status), WCOREDUMP(status) ? " core" : "");
  } else {
    Say("%s: status %#x", label, (unsigned)status);
  }
}

int InChild(int (*fn)(void*), void* argument) {
  const pid_t pid = fork();
  if (pid == 0) _exit(fn(argument));
  int status = -1;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    Say("waitpid: FAILED, EINTR");
  }
  return status;
}

void ExecRole(const char* role, const char* argument) {
  char* const arguments[] = {host_argv[0], (char*)"--role", (char*)role, (char*)argument, NULL};
  execv(host_path, arguments);
  _exit(98);
}

static int64_t ClockMs(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void Burn(int cpu_ms) {
  volatile unsigned sink = 1;
  const int64_t end = ClockMs(CLOCK_THREAD_CPUTIME_ID) + cpu_ms;
  while (ClockMs(CLOCK_THREAD_CPUTIME_ID) < end) {
    for (int i = 0; i < 20000; i++) sink = sink * 1664525 + 1013904223;
  }
}

int64_t WallMs(void) { return ClockMs(CLOCK_MONOTONIC); }

void SleepMs(int ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static int Run(struct HostEntry* list, const char* name) {
  for (; list != NULL; list = list->next) {
    if (strcmp(list->name, name) == 0) return list->run();
  }
  fprintf(stderr, "%s: unknown case or role '%s'\n", host_argv[0], name);
  return 97;
}

// Closes every number but the standard ones and takes them all again for itself.
static void CloseAllAndReuse(void) {
  for (int fd = 3; fd < 65536; fd++) close(fd);
  for (int fd = 3; fd < 60; fd++) dup2(1, fd);
}

static void Obey(const char* order, int number) {
  if (strcmp(order, "burn") == 0) Burn(number);
  if (strcmp(order, "close_all") == 0) CloseAllAndReuse();
  if (strcmp(order, "setuid") == 0 && setuid((uid_t)number) != 0) Say("setuid: FAILED");
  Say("done");
}

// For tests that look at a process from outside: "ORDER NUMBER" a line, "done" for each.
static int ObeyAll(void) {
  char order[32];
  int number = 0;
  while (scanf("%31s %d", order, &number) == 2) Obey(order, number);
  return 0;
}

int main(int argc, char** argv) {
  host_argc = argc;
  host_argv = argv;
  const ssize_t length = readlink("/proc/self/exe", host_path, sizeof host_path - 1);
  if (length > 0) host_path[length] = 0;
  if (argc > 2 && strcmp(argv[1], "--role") == 0) {
    return strcmp(argv[2], "obey") == 0 ? ObeyAll() : Run(roles, argv[2]);
  }
  if (argc != 2) {
    fprintf(stderr, "usage: %s CASE\n", argv[0]);
    for (struct HostEntry* c = cases; c != NULL; c = c->next) fprintf(stderr, "  %s\n", c->name);
    return 97;
  }
  SettleAgent();
  const int result = Run(cases, argv[1]);
  ReportSelf();
  return result;
}
