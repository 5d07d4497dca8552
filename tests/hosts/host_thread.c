// SPDX-License-Identifier: Apache-2.0
// Hosts that make threads in every way and end them in every way.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

HOST_CASE(single_threaded_host_has_one_task, thread_at_start, fast) {
  Burn(100);
  Say("tasks: %d", AgentThreadIsAllowed() ? CountHostTasks() : CountAllTasks());
  return 0;
}

static atomic_int started;

static void* CountAndReturn(void* value) {
  atomic_fetch_add(&started, 1);
  return value;
}

static void SayStorm(int threads, bool detached) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (detached) pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int wrong = 0, refused = 0;
  started = 0;
  for (intptr_t i = 0; i < threads; i++) {
    pthread_t thread;
    void* value = (void*)i;
    const int error = pthread_create(&thread, &attributes, CountAndReturn, value);
    refused += error != 0;
    if (error == 0 && !detached) pthread_join(thread, &value), wrong += value != (void*)i;
  }
  for (int i = 0; i < 2000 && (started < threads || CountHostTasks() > 1); i++) SleepMs(1);
  Say("started %d of %d, refused %d, wrong results %d, tasks left %d", started, threads, refused,
      wrong, CountHostTasks());
  pthread_attr_destroy(&attributes);
}

HOST_CASE(thread_storm, thread_eater, fast) {
  SayStorm(2000, false);
  SayStorm(2000, true);
  return 0;
}

HOST_CASE(thread_storm_of_ten_thousand, thread_eater, slow) {
  SayStorm(10000, false);
  SayStorm(10000, true);
  return 0;
}

static void* BurnAndReturn(void* value) {
  Burn(8);
  return value;
}

HOST_CASE(many_short_burning_threads, thread_eater, fast) {
  int good = 0;
  for (int round = 0; round < 10; round++) {
    pthread_t threads[6];
    for (intptr_t i = 0; i < 6; i++) pthread_create(&threads[i], NULL, BurnAndReturn, (void*)i);
    for (intptr_t i = 0; i < 6; i++) {
      void* value = NULL;
      good += pthread_join(threads[i], &value) == 0 && value == (void*)i;
    }
  }
  Say("good joins: %d", good);
  return 0;
}

// 16 KiB is the least that the C library allows; the kernel's signal frame alone takes 3 to 12 KiB
// of it.
HOST_CASE(burning_on_the_smallest_stack, stack_eater, fast) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  Say("smallest stack: %d", pthread_attr_setstacksize(&attributes, 16384));
  pthread_t threads[2];
  for (intptr_t i = 0; i < 2; i++)
    pthread_create(&threads[i], &attributes, BurnAndReturn, (void*)i);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  for (int round = 0; round < 8; round++) {
    pthread_create(&threads[0], &attributes, BurnAndReturn, NULL);
    pthread_join(threads[0], NULL);
  }
  return 0;
}

// Made before an agent may look, most never running, some burning, all ending at the same moment.
enum { kCrowd = 3000, kBurning = 4 };
static sem_t crowd_called;
static atomic_int crowd_burning;

static void* StandInCrowd(void* value) {
  while (sem_wait(&crowd_called) != 0) continue;
  if (atomic_fetch_add(&crowd_burning, 1) < kBurning) Burn(150);
  return value;
}

HOST_CASE(three_thousand_threads_of_which_few_burn, thread_eater, fast) {
  static pthread_t threads[kCrowd];
  sem_init(&crowd_called, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  Check(pthread_attr_setstacksize(&attributes, 65536) == 0, "small stacks");
  int made = 0, wrong = 0;
  for (intptr_t i = 0; i < kCrowd; i++) {
    made += pthread_create(&threads[i], &attributes, StandInCrowd, (void*)i) == 0;
  }
  for (int i = 0; i < 60; i++) poll(NULL, 0, 20);  // until an agent may have begun
  for (int i = 0; i < kBurning; i++) sem_post(&crowd_called);
  SleepMs(400);
  for (int i = kBurning; i < made; i++) sem_post(&crowd_called);
  for (intptr_t i = 0; i < made; i++) {
    void* value = NULL;
    wrong += pthread_join(threads[i], &value) != 0 || value != (void*)i;
  }
  for (int i = 0; i < 2000 && CountHostTasks() > 1; i++) SleepMs(1);
  Say("made %d, wrong joins %d, tasks left %d", made, wrong, CountHostTasks());
  pthread_attr_destroy(&attributes);
  return 0;
}

static int C11Thread(void* value) {
  Burn(3);
  return *(int*)value + 1;
}

HOST_CASE(c11_threads_and_attributes, thread_eater, fast) {
  int value = 41, result = 0;
  thrd_t thread;
  Say("thrd_create %d", thrd_create(&thread, C11Thread, &value));
  thrd_join(thread, &result);
  Say("thrd_join %d", result);
  pthread_attr_t attributes;
  pthread_getattr_np(pthread_self(), &attributes);
  size_t guard = 0;
  int detached = -1;
  pthread_attr_getguardsize(&attributes, &guard);
  pthread_attr_getdetachstate(&attributes, &detached);
  Say("main: guard %zu detached %d", guard, detached);
  pthread_attr_destroy(&attributes);
  Say("thread with a bad attribute: %d", pthread_attr_setstacksize(&attributes, 1));
  return 0;
}

static void* OwnName(void* unused) {
  pthread_setname_np(pthread_self(), "its-own-name");
  Burn(10);
  char name[16];
  prctl(PR_GET_NAME, name);
  Say("named %s", name);
  return unused;
}

HOST_CASE(threads_keep_their_names, name_changer, fast) {
  pthread_t thread;
  pthread_create(&thread, NULL, OwnName, NULL);
  pthread_join(thread, NULL);
  char name[16];
  prctl(PR_GET_NAME, name);
  Say("main is %s", name);
  return 0;
}

// Raw clone: no thread-local storage of its own is set up, so it makes raw system calls only.
static atomic_int raw_done;
static volatile unsigned raw_sink;

static int RawThread(void* unused) {
  (void)unused;
  for (unsigned i = 0; i < 60000000; i++) raw_sink += i;
  atomic_store(&raw_done, 1);
  syscall(SYS_futex, &raw_done, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  syscall(SYS_exit, 0);
  return 0;
}

HOST_CASE(raw_clone_thread_burns, tls_toucher, fast) {
  char* stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int flags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  const int tid = clone(RawThread, stack + 65536, flags, NULL);
  Check(tid > 0, "raw thread");
  while (!atomic_load(&raw_done)) SleepMs(2);
  SleepMs(20);
  munmap(stack, 65536);
  Say("raw thread done %d, tasks %d", raw_done, CountHostTasks());
  return 0;
}

static pthread_key_t key;
static atomic_int destroyed;

static void Destroy(void* value) {
  atomic_fetch_add(&destroyed, (int)(intptr_t)value);
  Burn(2);
}

static void* SetKey(void* value) {
  pthread_setspecific(key, value);
  Burn(2);
  return NULL;
}

HOST_CASE(thread_specific_data_is_destroyed, thread_eater, fast) {
  pthread_key_create(&key, Destroy);
  Say("first key %u", key);
  pthread_t threads[8];
  for (intptr_t i = 0; i < 8; i++) pthread_create(&threads[i], NULL, SetKey, (void*)(i + 1));
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  Say("destroyed %d", destroyed);
  int keys = 1;
  for (pthread_key_t other; pthread_key_create(&other, NULL) == 0;) keys++;
  Say("keys to be had: %d", keys);
  return 0;
}

static void* Touch(void* unused) { return unused; }

static int CountTimers(void) {
  FILE* file = fopen("/proc/self/timers", "re");
  int timers = 0;
  for (char line[256]; file != NULL && fgets(line, sizeof line, file) != NULL;)
    timers += strncmp(line, "ID:", 3) == 0;
  if (file != NULL) fclose(file);
  return timers;
}

// Short threads, as servers with a thread a request make them. In a forked child nobody sweeps
// after them, and each timer counts against the user's limit of pending signals.
static int ChurnThreads(void* count) {
  poll(NULL, 0, 20);
  for (int i = 0; i < *(int*)count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, Touch, NULL) != 0) return 2;
    pthread_join(thread, NULL);
  }
  const int timers = CountTimers();
  Say("timers stay few: %d", timers < 100);
  if (timers >= 100) Say("timers: %d", timers);
  return 0;
}

HOST_CASE(thread_churn_in_a_child_leaves_no_timers, timer_per_thread, fast) {
  int count = 1200;
  Burn(60);
  SayStatus("child", InChild(ChurnThreads, &count));
  return 0;
}
