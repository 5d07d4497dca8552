// SPDX-License-Identifier: Apache-2.0
// Locks and what else threads wait for each other at. Off, every function is a jump to the host's.
// On, a call that need not wait is that too, after a look at the lock's own word; nothing of
// the lock is ever changed or tried by us, so errors, ownership, robustness, priorities and
// cancellation are the host's. A call that has to wait is timed; an unlock that somebody waits for
// is charged with the waiting (collectors/safe/lock_waits.h). Before the real unlock: after it the
// lock may be gone.
//
// Waits of condition variables, semaphores and joins are cancellation points: nothing is held
// across them, and their frames can be unwound.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <threads.h>
#include <time.h>

#include "agent/hooks/hook.h"
#include "agent/hooks/lock_door.h"
#include "agent/hooks/versions.h"
#include "agent/runtime/resolve.h"
#include "collectors/safe/hook_record.h"
#include "collectors/safe/lock_waits.h"
#include "collectors/safe/wait_note.h"

namespace sonde::hooks {
namespace {
constexpr unsigned kFree = 0;
constexpr unsigned kNotEmpty = 1;
}  // namespace
constinit Idle g_idle{&kFree, &kNotEmpty};
}  // namespace sonde::hooks

namespace {

using sonde::HookFrame;
using sonde::Kind;
using sonde::ThisHookFrame;
using sonde::hooks::g_idle;
using sonde::hooks::LookAt;
using sonde::hooks::MeasuringLocks;

SONDE_LOCK_DOOR(pthread_mutex_lock);
SONDE_LOCK_DOOR(pthread_mutex_timedlock);
SONDE_LOCK_DOOR(pthread_mutex_clocklock);
SONDE_LOCK_DOOR(pthread_mutex_unlock);
SONDE_LOCK_DOOR(mtx_lock);
SONDE_LOCK_DOOR(mtx_timedlock);
SONDE_LOCK_DOOR(mtx_unlock);
SONDE_LOCK_DOOR(pthread_rwlock_rdlock);
SONDE_LOCK_DOOR(pthread_rwlock_timedrdlock);
SONDE_LOCK_DOOR(pthread_rwlock_clockrdlock);
SONDE_LOCK_DOOR(pthread_rwlock_wrlock);
SONDE_LOCK_DOOR(pthread_rwlock_timedwrlock);
SONDE_LOCK_DOOR(pthread_rwlock_clockwrlock);
SONDE_LOCK_DOOR(pthread_rwlock_unlock);
SONDE_LOCK_DOOR(pthread_cond_wait);
SONDE_LOCK_DOOR(pthread_cond_timedwait);
SONDE_LOCK_DOOR(pthread_cond_clockwait);
SONDE_LOCK_DOOR(cnd_wait);
SONDE_LOCK_DOOR(cnd_timedwait);
SONDE_LOCK_DOOR(sem_wait);
SONDE_LOCK_DOOR(sem_timedwait);
SONDE_LOCK_DOOR(sem_clockwait);
SONDE_LOCK_DOOR(pthread_join);
SONDE_LOCK_DOOR(pthread_timedjoin_np);
SONDE_LOCK_DOOR(pthread_clockjoin_np);
SONDE_LOCK_DOOR(thrd_join);

constinit sonde::LockWaits g_waits{};

// Of all read-write locks; in a forked child it may be too high, which costs it a look.
constinit std::atomic<uint32_t> g_read_write_waiters{0};

bool AnyReadWriteWaiter() { return g_read_write_waiters.load(std::memory_order_relaxed) != 0; }

// Not hooked, only asked.
using TryLock = int(pthread_rwlock_t*);
constinit std::atomic<TryLock*> g_try_read{nullptr};
constinit std::atomic<TryLock*> g_try_write{nullptr};

TryLock* FindTry(const char* name) {
  return reinterpret_cast<TryLock*>(sonde::runtime::NextSymbol(name));
}

bool MeasuresLocks() { return sonde::HookCounts(sonde::HookUse::kLocks); }

// Without a system call where there is a vdso; errno stays.
uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// glibc's mutex, whose layout on x86-64 is part of its ABI; mtx_t is the same.
struct MutexWords {
  int lock;  // 0: free
  unsigned count;
  int owner;  // tid
  unsigned users;
  int kind;

  static constexpr int kRecursive = 1;
  static constexpr int kTypeMask = 3;
  static constexpr int kRobustOrInherits = 16 | 32;
};

const MutexWords* WordsOf(const void* mutex) { return static_cast<const MutexWords*>(mutex); }

int LockWordOf(const MutexWords* mutex) { return __atomic_load_n(&mutex->lock, __ATOMIC_RELAXED); }

// The looks of the exported functions: false while nothing is measured.
bool LooksTaken(const void* mutex) { return LookAt(mutex, g_idle.lock) != 0; }

// Somebody may sleep at it: robust ones and those that inherit priorities say so by their sign.
bool LooksContended(const void* mutex) { return LookAt(mutex, g_idle.lock) > 1; }

// On x86-64 the value is the first word of every glibc's semaphore.
bool LooksEmpty(const sem_t* semaphore) { return LookAt(semaphore, g_idle.semaphore) == 0; }

// Whoever has it already gets it, or an error, at once.
bool IsMine(const MutexWords* mutex) {
  return (mutex->kind & MutexWords::kTypeMask) != 0 &&
         __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == sonde::ThisThreadTid();
}

bool MustWaitFor(const void* mutex) {
  const MutexWords* const words = WordsOf(mutex);
  return LockWordOf(words) != 0 && !IsMine(words);
}

// Somebody sleeps at it, and this unlock releases it.
bool HoldsUpOthers(const void* mutex) {
  const MutexWords* const words = WordsOf(mutex);
  const int word = LockWordOf(words);
  const bool contended =
      (words->kind & MutexWords::kRobustOrInherits) != 0 ? word < 0 : (word & 0x7ffff) > 1;
  const bool last =
      (words->kind & MutexWords::kTypeMask) != MutexWords::kRecursive || words->count <= 1;
  return contended && last;
}

void Charge(const void* lock, const HookFrame& caller) {
  const uint64_t now_ns = NowNs();
  const uint64_t waited_ns = sonde::ChargeUnlock(&g_waits, lock, now_ns);
  if (waited_ns != 0) sonde::RecordDelay(caller, Kind::kUnlock, waited_ns, now_ns);
}

// A wait whose end is somebody's unlock. Not a cancellation point.
template <typename Wait>
__attribute__((always_inline)) inline int TimedLock(const void* lock, Kind kind,
                                                    const HookFrame& caller, Wait wait) {
  const uint64_t begin_ns = NowNs();
  const sonde::WaitTicket ticket = sonde::BeginLockWait(&g_waits, lock, begin_ns);
  sonde::WaitNote note;
  note.Begin(caller, kind, begin_ns);
  const int result = wait();
  note.End();
  sonde::EndLockWait(ticket);
  const uint64_t end_ns = NowNs();
  sonde::RecordDelay(caller, kind, end_ns - begin_ns, end_ns);
  return result;
}

// A cancellation point: when it is cancelled, nothing is counted.
template <typename Wait>
__attribute__((always_inline)) inline int TimedWait(Kind kind, const HookFrame& caller, Wait wait) {
  const uint64_t begin_ns = NowNs();
  sonde::WaitNote note;
  note.Begin(caller, kind, begin_ns);
  const int result = wait();
  note.End();
  const uint64_t end_ns = NowNs();
  sonde::RecordDelay(caller, kind, end_ns - begin_ns, end_ns);
  return result;
}

template <typename Wait>
__attribute__((always_inline)) inline int MeasureMutex(const void* mutex, const HookFrame& caller,
                                                       Wait wait) {
  if (!MustWaitFor(mutex) || !MeasuresLocks()) return wait();
  return TimedLock(mutex, Kind::kWaitMutex, caller, wait);
}

// What glibc refuses before it looks at the lock. A try would not.
bool MayWait(clockid_t clock, const timespec* until) {
  const bool has_clock = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
  return has_clock && (until == nullptr || (until->tv_nsec >= 0 && until->tv_nsec < 1'000'000'000));
}

// glibc's read-write locks have changed their layout, so it is tried whether it is free. Nothing is
// known of it if not: the host's own call then waits, or says what is wrong.
template <typename Wait>
__attribute__((always_inline)) inline int MeasureReadWrite(pthread_rwlock_t* lock,
                                                           const std::atomic<TryLock*>& try_lock,
                                                           const HookFrame& caller, Wait wait) {
  TryLock* const attempt = try_lock.load(std::memory_order_relaxed);
  if (attempt == nullptr || !MeasuresLocks()) return wait();
  const int tried = attempt(lock);
  if (tried != EBUSY) return tried;
  g_read_write_waiters.fetch_add(1, std::memory_order_relaxed);
  const int result = TimedLock(lock, Kind::kWaitReadWrite, caller, wait);
  g_read_write_waiters.fetch_sub(1, std::memory_order_relaxed);
  return result;
}

// The condition's wait unlocks the mutex.
template <typename Wait>
__attribute__((always_inline)) inline int MeasureCondition(const void* mutex,
                                                           const HookFrame& caller, Wait wait) {
  if (!MeasuresLocks()) return wait();
  if (HoldsUpOthers(mutex)) Charge(mutex, caller);
  return TimedWait(Kind::kWaitCondition, caller, wait);
}

// errno is the host's call's.
template <typename Wait>
__attribute__((always_inline)) inline int MeasureSemaphore(const HookFrame& caller, Wait wait) {
  if (!MeasuresLocks()) return wait();
  return TimedWait(Kind::kWaitSemaphore, caller, wait);
}

template <typename Wait>
__attribute__((always_inline)) inline int MeasureJoin(const HookFrame& caller, Wait wait) {
  return MeasuresLocks() ? TimedWait(Kind::kWaitJoin, caller, wait) : wait();
}

// The charge is taken while the lock is held, the stack once it is not: others wait for it. Of the
// lock, which may be gone by then, only the address was used.
template <typename Unlock>
__attribute__((always_inline)) inline int ChargedUnlock(const void* lock, const HookFrame& caller,
                                                        Unlock unlock) {
  const uint64_t now_ns = NowNs();
  const uint64_t waited_ns = sonde::ChargeUnlock(&g_waits, lock, now_ns);
  const int result = unlock();
  if (waited_ns != 0) sonde::RecordDelay(caller, Kind::kUnlock, waited_ns, now_ns);
  return result;
}

template <typename Unlock>
__attribute__((always_inline)) inline int MeasureUnlock(const void* mutex, const HookFrame& caller,
                                                        Unlock unlock) {
  if (!HoldsUpOthers(mutex) || !MeasuresLocks()) return unlock();
  return ChargedUnlock(mutex, caller, unlock);
}

template <typename Unlock>
__attribute__((always_inline)) inline int MeasureReadWriteUnlock(const void* lock,
                                                                 const HookFrame& caller,
                                                                 Unlock unlock) {
  if (!sonde::IsWaitedFor(&g_waits, lock) || !MeasuresLocks()) return unlock();
  return ChargedUnlock(lock, caller, unlock);
}

}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): `arguments` brings its own.
// An exported function, and its half that measures, to which it jumps: the frame of that half is
// the only one of ours, and its caller is the host. `worth`: there may be something to measure;
// else the host's function is jumped to at once.
#define SONDE_LOCK_HOOK(symbol, parameters, arguments, specifier, worth, measured) \
  __attribute__((noinline)) static int Measured_##symbol parameters specifier {    \
    const HookFrame caller = ThisHookFrame();                                      \
    const auto real = [&] { return Door_##symbol::Host() arguments; };             \
    return measured;                                                               \
  }                                                                                \
  SONDE_EXPORT int symbol parameters specifier {                                   \
    if (worth) [[unlikely]] {                                                      \
      return Measured_##symbol arguments;                                          \
    }                                                                              \
    return Door_##symbol::Host() arguments;                                        \
  }

// NOLINTEND(bugprone-macro-parentheses)

SONDE_LOCK_HOOK(pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex), noexcept, LooksTaken(mutex),
                MeasureMutex(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_mutex_timedlock, (pthread_mutex_t * mutex, const timespec* until),
                (mutex, until), noexcept, LooksTaken(mutex), MeasureMutex(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_mutex_clocklock,
                (pthread_mutex_t * mutex, clockid_t clock, const timespec* until),
                (mutex, clock, until), noexcept, LooksTaken(mutex),
                MeasureMutex(mutex, caller, real))
SONDE_LOCK_HOOK(mtx_lock, (mtx_t * mutex), (mutex), , LooksTaken(mutex),
                MeasureMutex(mutex, caller, real))
SONDE_LOCK_HOOK(mtx_timedlock, (mtx_t * mutex, const timespec* until), (mutex, until), ,
                LooksTaken(mutex), MeasureMutex(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex), noexcept,
                LooksContended(mutex), MeasureUnlock(mutex, caller, real))
SONDE_LOCK_HOOK(mtx_unlock, (mtx_t * mutex), (mutex), , LooksContended(mutex),
                MeasureUnlock(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock), noexcept,
                MeasuringLocks(), MeasureReadWrite(lock, g_try_read, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_timedrdlock, (pthread_rwlock_t * lock, const timespec* until),
                (lock, until), noexcept, MeasuringLocks() && MayWait(CLOCK_REALTIME, until),
                MeasureReadWrite(lock, g_try_read, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_clockrdlock,
                (pthread_rwlock_t * lock, clockid_t clock, const timespec* until),
                (lock, clock, until), noexcept, MeasuringLocks() && MayWait(clock, until),
                MeasureReadWrite(lock, g_try_read, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock), noexcept,
                MeasuringLocks(), MeasureReadWrite(lock, g_try_write, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_timedwrlock, (pthread_rwlock_t * lock, const timespec* until),
                (lock, until), noexcept, MeasuringLocks() && MayWait(CLOCK_REALTIME, until),
                MeasureReadWrite(lock, g_try_write, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_clockwrlock,
                (pthread_rwlock_t * lock, clockid_t clock, const timespec* until),
                (lock, clock, until), noexcept, MeasuringLocks() && MayWait(clock, until),
                MeasureReadWrite(lock, g_try_write, caller, real))
SONDE_LOCK_HOOK(pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock), noexcept,
                AnyReadWriteWaiter(), MeasureReadWriteUnlock(lock, caller, real))
SONDE_LOCK_HOOK(pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t* mutex),
                (condition, mutex), , MeasuringLocks(), MeasureCondition(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_cond_timedwait,
                (pthread_cond_t * condition, pthread_mutex_t* mutex, const timespec* until),
                (condition, mutex, until), , MeasuringLocks(),
                MeasureCondition(mutex, caller, real))
SONDE_LOCK_HOOK(pthread_cond_clockwait,
                (pthread_cond_t * condition, pthread_mutex_t* mutex, clockid_t clock,
                 const timespec* until),
                (condition, mutex, clock, until), , MeasuringLocks(),
                MeasureCondition(mutex, caller, real))
SONDE_LOCK_HOOK(cnd_wait, (cnd_t * condition, mtx_t* mutex), (condition, mutex), , MeasuringLocks(),
                MeasureCondition(mutex, caller, real))
SONDE_LOCK_HOOK(cnd_timedwait, (cnd_t * condition, mtx_t* mutex, const timespec* until),
                (condition, mutex, until), , MeasuringLocks(),
                MeasureCondition(mutex, caller, real))
SONDE_LOCK_HOOK(sem_wait, (sem_t * semaphore), (semaphore), , LooksEmpty(semaphore),
                MeasureSemaphore(caller, real))
SONDE_LOCK_HOOK(sem_timedwait, (sem_t * semaphore, const timespec* until), (semaphore, until), ,
                LooksEmpty(semaphore), MeasureSemaphore(caller, real))
SONDE_LOCK_HOOK(sem_clockwait, (sem_t * semaphore, clockid_t clock, const timespec* until),
                (semaphore, clock, until), , LooksEmpty(semaphore), MeasureSemaphore(caller, real))
SONDE_LOCK_HOOK(pthread_join, (pthread_t thread, void** value), (thread, value), , MeasuringLocks(),
                MeasureJoin(caller, real))
SONDE_LOCK_HOOK(pthread_timedjoin_np, (pthread_t thread, void** value, const timespec* until),
                (thread, value, until), , MeasuringLocks(), MeasureJoin(caller, real))
SONDE_LOCK_HOOK(pthread_clockjoin_np,
                (pthread_t thread, void** value, clockid_t clock, const timespec* until),
                (thread, value, clock, until), , MeasuringLocks(), MeasureJoin(caller, real))
SONDE_LOCK_HOOK(thrd_join, (thrd_t thread, int* value), (thread, value), , MeasuringLocks(),
                MeasureJoin(caller, real))

extern "C" __attribute__((visibility("hidden"))) bool SondeMeasureLocks(bool on) {
  if (on && !sonde::PrepareLockWaits(&g_waits)) return false;
  if (on) {
    g_try_read.store(FindTry("pthread_rwlock_tryrdlock"), std::memory_order_relaxed);
    g_try_write.store(FindTry("pthread_rwlock_trywrlock"), std::memory_order_relaxed);
  }
  g_idle.semaphore.store(on ? nullptr : &sonde::hooks::kNotEmpty, std::memory_order_release);
  g_idle.lock.store(on ? nullptr : &sonde::hooks::kFree, std::memory_order_release);
  return true;
}

SONDE_EXPORT_AS(pthread_mutex_timedlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_mutex_clocklock, "GLIBC_2.30", "GLIBC_2.34");
SONDE_EXPORT_AS(mtx_lock, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(mtx_timedlock, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(mtx_unlock, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_rdlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_timedrdlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_clockrdlock, "GLIBC_2.30", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_wrlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_timedwrlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_clockwrlock, "GLIBC_2.30", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_rwlock_unlock, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_cond_clockwait, "GLIBC_2.30", "GLIBC_2.34");
SONDE_EXPORT_AS(cnd_wait, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(cnd_timedwait, "GLIBC_2.28", "GLIBC_2.34");
SONDE_EXPORT_AS(sem_wait, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(sem_timedwait, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(sem_clockwait, "GLIBC_2.30", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_join, "GLIBC_2.2.5", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_timedjoin_np, "GLIBC_2.3.3", "GLIBC_2.34");
SONDE_EXPORT_AS(pthread_clockjoin_np, "GLIBC_2.31", "GLIBC_2.34");
SONDE_EXPORT_AS(thrd_join, "GLIBC_2.28", "GLIBC_2.34");
