// SPDX-License-Identifier: Apache-2.0
// Sin: a thread that samples all other threads by tgkill, blocked or not.
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void Sample(int sig) { (void)sig; }

static void SignalAll(long self) {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == NULL) return;
  for (struct dirent* entry; (entry = readdir(tasks)) != NULL;) {
    const long tid = strtol(entry->d_name, NULL, 10);
    if (tid > 0 && tid != self) syscall(SYS_tgkill, getpid(), tid, SIGPROF);
  }
  closedir(tasks);
}

static void* Run(void* unused) {
  pthread_setname_np(pthread_self(), "sonde-bad");
  for (;;) {
    usleep(500);
    SignalAll(syscall(SYS_gettid));
  }
  return unused;
}

__attribute__((constructor)) static void Start(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = Sample;
  sigaction(SIGPROF, &action, NULL);
  pthread_t thread;
  pthread_create(&thread, NULL, Run, NULL);
}
