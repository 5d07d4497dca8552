// SPDX-License-Identifier: Apache-2.0
// Hosts that use every kind of lock in every way that libc has an answer to.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "tests/hosts/host.h"

// Used before main, and before any preloaded library has run its constructors.
static pthread_mutex_t early = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static pthread_rwlock_t early_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int early_errors;

static void LockEarly(void) {
  early_errors += pthread_mutex_lock(&early) != 0;
  early_errors += pthread_mutex_lock(&early) != 0;
  early_errors += pthread_mutex_unlock(&early) != 0;
  early_errors += pthread_mutex_unlock(&early) != 0;
  early_errors += pthread_rwlock_rdlock(&early_rwlock) != 0;
  early_errors += pthread_rwlock_unlock(&early_rwlock) != 0;
}
__attribute__((section(".preinit_array"), used)) static void (*const at_preinit)(void) = LockEarly;

static struct timespec In(clockid_t clock, int ms) {
  struct timespec until;
  clock_gettime(clock, &until);
  until.tv_nsec += ms * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  return until;
}

static void SayResult(const char* what, int error) {
  Say("%s: %s", what, error == 0 ? "ok" : strerror(error));
}

static pthread_mutex_t* shared_mutex;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void Init(pthread_mutex_t* mutex, int type, int robust, int protocol, int shared) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, type);
  pthread_mutexattr_setrobust(&attributes, robust);
  pthread_mutexattr_setprotocol(&attributes, protocol);
  pthread_mutexattr_setpshared(&attributes, shared);
  pthread_mutex_init(mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

// What another thread sees of a mutex that main holds.
static void* TryHeld(void* argument) {
  pthread_mutex_t* mutex = argument;
  struct timespec until = In(CLOCK_REALTIME, 30);
  SayResult("  timedlock", pthread_mutex_timedlock(mutex, &until));
  until = In(CLOCK_MONOTONIC, 30);
  SayResult("  clocklock", pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until));
  until.tv_nsec = -1;
  SayResult("  timedlock with a bad time", pthread_mutex_timedlock(mutex, &until));
  SayResult("  trylock", pthread_mutex_trylock(mutex));
  return NULL;
}

static void* LockAndEnd(void* argument) {
  SayResult("  lock", pthread_mutex_lock(argument));
  return NULL;
}

static void InThread(void* (*function)(void*), void* argument) {
  pthread_t thread;
  pthread_create(&thread, NULL, function, argument);
  pthread_join(thread, NULL);
}

static void UseKind(const char* name, int type, int robust, int protocol, int shared) {
  Say("%s", name);
  Init(shared_mutex, type, robust, protocol, shared);
  SayResult(" lock", pthread_mutex_lock(shared_mutex));
  if (type != PTHREAD_MUTEX_NORMAL || protocol == PTHREAD_PRIO_INHERIT) {
    struct timespec until = In(CLOCK_REALTIME, 30);
    SayResult(" lock again", pthread_mutex_timedlock(shared_mutex, &until));
    if (type == PTHREAD_MUTEX_RECURSIVE) pthread_mutex_unlock(shared_mutex);
  }
  InThread(TryHeld, shared_mutex);
  SayResult(" unlock", pthread_mutex_unlock(shared_mutex));
  const bool knows_its_owner = type == PTHREAD_MUTEX_RECURSIVE || type == PTHREAD_MUTEX_ERRORCHECK;
  if (knows_its_owner) SayResult(" unlock again", pthread_mutex_unlock(shared_mutex));
  if (robust == PTHREAD_MUTEX_ROBUST) {
    InThread(LockAndEnd, shared_mutex);
    SayResult(" lock of a dead thread's", pthread_mutex_lock(shared_mutex));
    SayResult(" unlock", pthread_mutex_unlock(shared_mutex));
    SayResult(" lock of what is lost", pthread_mutex_lock(shared_mutex));
  }
  SayResult(" destroy", pthread_mutex_destroy(shared_mutex));
}

HOST_CASE(mutexes_of_every_kind_answer_as_ever, owner_died_hider, fast) {
  shared_mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Say("errors before main: %d", early_errors);
  UseKind("normal", PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, 0);
  UseKind("recursive", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, 0);
  UseKind("errorcheck", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, 0);
  UseKind("adaptive", PTHREAD_MUTEX_ADAPTIVE_NP, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE, 0);
  UseKind("robust", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE, 0);
  UseKind("inherits", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT, 0);
  UseKind("robust, inherits", PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT,
          0);
  UseKind("shared", PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE,
          PTHREAD_PROCESS_SHARED);
  return 0;
}

static void* TryHeldReadWrite(void* argument) {
  (void)argument;
  struct timespec until = In(CLOCK_REALTIME, 30);
  SayResult("  timedrdlock", pthread_rwlock_timedrdlock(&rwlock, &until));
  SayResult("  timedwrlock", pthread_rwlock_timedwrlock(&rwlock, &until));
  until = In(CLOCK_MONOTONIC, 30);
  SayResult("  clockrdlock", pthread_rwlock_clockrdlock(&rwlock, CLOCK_MONOTONIC, &until));
  SayResult("  clockwrlock", pthread_rwlock_clockwrlock(&rwlock, CLOCK_MONOTONIC, &until));
  until.tv_nsec = 1000000000;
  SayResult("  timedwrlock with a bad time", pthread_rwlock_timedwrlock(&rwlock, &until));
  return NULL;
}

// glibc says no before it looks at the lock, which is free here.
static void UseBadTimes(void) {
  struct timespec bad = In(CLOCK_REALTIME, 30);
  bad.tv_nsec = -1;
  SayResult("free timedrdlock with a bad time", pthread_rwlock_timedrdlock(&rwlock, &bad));
  SayResult("free timedwrlock with a bad time", pthread_rwlock_timedwrlock(&rwlock, &bad));
  bad.tv_nsec = 0;
  const clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
  SayResult("free clockrdlock by a bad clock", pthread_rwlock_clockrdlock(&rwlock, clock, &bad));
  SayResult("free clockwrlock by a bad clock", pthread_rwlock_clockwrlock(&rwlock, clock, &bad));
}

HOST_CASE(read_write_locks_answer_as_ever, self_deadlock_hider, fast) {
  UseBadTimes();
  SayResult("wrlock", pthread_rwlock_wrlock(&rwlock));
  SayResult("wrlock again", pthread_rwlock_wrlock(&rwlock));
  SayResult("rdlock as well", pthread_rwlock_rdlock(&rwlock));
  InThread(TryHeldReadWrite, NULL);
  SayResult("unlock", pthread_rwlock_unlock(&rwlock));
  SayResult("rdlock", pthread_rwlock_rdlock(&rwlock));
  SayResult("rdlock again", pthread_rwlock_rdlock(&rwlock));
  SayResult("unlock", pthread_rwlock_unlock(&rwlock));
  SayResult("unlock", pthread_rwlock_unlock(&rwlock));
  return 0;
}

static sem_t semaphore;
static volatile int passed;

static void* WaitWithCancelPending(void* argument) {
  (void)argument;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  pthread_cancel(pthread_self());
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
  sem_wait(&semaphore);
  passed = 1;
  return NULL;
}

static void WaitForSemaphores(void) {
  struct timespec until = In(CLOCK_REALTIME, 30);
  errno = ENXIO;
  SayResult("sem_wait", sem_wait(&semaphore));
  SayResult("errno after it", errno);
  SayResult("sem_timedwait", sem_timedwait(&semaphore, &until) == 0 ? 0 : errno);
  until = In(CLOCK_MONOTONIC, 30);
  SayResult("sem_clockwait", sem_clockwait(&semaphore, CLOCK_MONOTONIC, &until) == 0 ? 0 : errno);
  until.tv_nsec = -1;
  SayResult("sem_timedwait, bad time", sem_timedwait(&semaphore, &until) == 0 ? 0 : errno);
}

HOST_CASE(semaphores_answer_as_ever_and_act_on_pending_cancels, semaphore_trier, fast) {
  sem_init(&semaphore, 0, 1);
  WaitForSemaphores();
  sem_post(&semaphore);
  void* result = NULL;
  pthread_t thread;
  pthread_create(&thread, NULL, WaitWithCancelPending, NULL);
  pthread_join(thread, &result);
  int value = -1;
  sem_getvalue(&semaphore, &value);
  Say("canceled: %d, passed: %d, value: %d", result == PTHREAD_CANCELED, passed, value);
  return 0;
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static atomic_int unwound, held_by_us;

static void OnCancel(void* argument) {
  (void)argument;
  // A cancelled wait has the mutex again.
  held_by_us += pthread_mutex_trylock(&gate) == EBUSY;
  unwound++;
  pthread_mutex_unlock(&gate);
}

static void* WaitForEver(void* argument) {
  pthread_mutex_lock(&gate);
  pthread_cleanup_push(OnCancel, NULL);
  for (;;) {
    struct timespec until = In(CLOCK_MONOTONIC, 5000);
    if ((intptr_t)argument == 0) pthread_cond_wait(&opened, &gate);
    if ((intptr_t)argument == 1) pthread_cond_clockwait(&opened, &gate, CLOCK_MONOTONIC, &until);
    until = In(CLOCK_REALTIME, 5000);
    if ((intptr_t)argument == 2) pthread_cond_timedwait(&opened, &gate, &until);
  }
  pthread_cleanup_pop(1);
  return NULL;
}

HOST_CASE(cancelled_condition_waits_have_their_mutex_and_unwind, noexcept_hooks, fast) {
  int canceled = 0;
  for (intptr_t i = 0; i < 3; i++) {
    pthread_t thread;
    void* result = NULL;
    pthread_create(&thread, NULL, WaitForEver, (void*)i);
    SleepMs(50);
    pthread_cond_broadcast(&opened);
    SleepMs(20);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    canceled += result == PTHREAD_CANCELED;
  }
  struct timespec until = In(CLOCK_REALTIME, 20);
  pthread_mutex_lock(&gate);
  SayResult("timed wait", pthread_cond_timedwait(&opened, &gate, &until));
  SayResult("unlock", pthread_mutex_unlock(&gate));
  Say("canceled %d, unwound %d, with the mutex %d", canceled, unwound, held_by_us);
  return 0;
}

enum { kThreads = 4, kRounds = 20000 };
static mtx_t c11;
static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static long counted, counted_c11, counted_rwlock;
static atomic_int errors;

static void* Fight(void* argument) {
  for (int i = 0; i < kRounds; i++) {
    errors += pthread_mutex_lock(&plain) != 0;
    counted++;
    errors += pthread_mutex_unlock(&plain) != 0;
    errors += mtx_lock(&c11) != thrd_success;
    counted_c11++;
    errors += mtx_unlock(&c11) != thrd_success;
    errors += (i % 8 == 0 ? pthread_rwlock_wrlock : pthread_rwlock_rdlock)(&rwlock) != 0;
    counted_rwlock += i % 8 == 0;
    errors += pthread_rwlock_unlock(&rwlock) != 0;
  }
  return argument;
}

static int FightInChild(void* argument) {
  (void)argument;
  counted = counted_c11 = counted_rwlock = 0;
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; i++) pthread_create(&threads[i], NULL, Fight, NULL);
  for (int i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
  Say("counted %ld, %ld, %ld, errors %d", counted, counted_c11, counted_rwlock, errors);
  return errors != 0;
}

static atomic_int has_it;

static void* UnlockLast(void* mutex) {
  pthread_mutex_lock(mutex);
  has_it = 1;
  SleepMs(1);
  pthread_mutex_unlock(mutex);
  return NULL;
}

// A lock that is destroyed and unmapped as soon as it is free must not be touched after that.
static void FreeLocks(void) {
  for (int i = 0; i < 100; i++) {
    pthread_mutex_t* mutex =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(mutex, NULL);
    pthread_t thread;
    has_it = 0;
    pthread_create(&thread, NULL, UnlockLast, mutex);
    while (!has_it) sched_yield();
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
    pthread_mutex_destroy(mutex);
    munmap(mutex, 4096);
    pthread_join(thread, NULL);
  }
}

HOST_CASE(heavy_locking_counts_right_also_in_children, lock_dropper_now_and_then, fast) {
  mtx_init(&c11, mtx_plain);
  FightInChild(NULL);
  SayStatus("child", InChild(FightInChild, NULL));
  FreeLocks();
  FightInChild(NULL);
  return 0;
}
