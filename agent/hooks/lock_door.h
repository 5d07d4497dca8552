// SPDX-License-Identifier: Apache-2.0
// The host's own locking functions, and what ours look at before they go on to them. An exported
// function is a look at one word, a branch that is not taken, and one jump to the host's: no frame
// of ours is on the host's stack, and cancellation and exceptions are the host's own.
//
// The word is the lock's own while they measure, and else one of ours that is always idle. Which of
// the two is chosen without a branch, so measuring costs an uncontended lock what not measuring
// does: jumps that are taken are what is dear here, and there is no other than the one to the host.
//
// Constant-initialised, so it works before any constructor and with locks that are initialised
// statically. Any thread. No memory.
#pragma once

#include <errno.h>

#include <atomic>

#include "agent/hooks/hook.h"

namespace sonde::hooks {

// What is looked at instead of a lock; null while they measure.
struct Idle {
  std::atomic<const unsigned*> lock;       // points at a 0: free
  std::atomic<const unsigned*> semaphore;  // points at a 1: not empty
};
extern constinit Idle g_idle;

inline bool MeasuringLocks() { return g_idle.lock.load(std::memory_order_relaxed) == nullptr; }

// The word of the lock, or the idle one. A compiler would be free to make a branch of `?:`.
__attribute__((always_inline)) inline unsigned LookAt(const void* lock,
                                                      const std::atomic<const unsigned*>& idle) {
  const unsigned* word = idle.load(std::memory_order_relaxed);
  asm("test %0, %0\n\tcmove %1, %0" : "+r"(word) : "r"(lock) : "cc");
  return __atomic_load_n(word, __ATOMIC_RELAXED);
}

template <Hook kHook, typename Function>
struct LockDoor;

template <Hook kHook, typename Result, typename... Arguments, bool kNoexcept>
struct LockDoor<kHook, Result(Arguments...) noexcept(kNoexcept)> {
  using Function = Result(Arguments...) noexcept(kNoexcept);

  // A libc that is older than the function.
  static Result Missing(Arguments...) noexcept(kNoexcept) {
    if constexpr (kHook != kHook_sem_clockwait) return static_cast<Result>(ENOSYS);
    errno = ENOSYS;
    return static_cast<Result>(-1);
  }

  static Function* Open() {
    auto* found = reinterpret_cast<Function*>(FindNext(kHook));
    if (found == nullptr) found = &Missing;
    host.store(found, std::memory_order_release);
    return found;
  }

  static Result Start(Arguments... arguments) noexcept(kNoexcept) { return Open()(arguments...); }

  // The next definition; at the start, a function that looks it up and calls on.
  static constinit inline std::atomic<Function*> host{&Start};

  static Function* Host() { return host.load(std::memory_order_relaxed); }
};

}  // namespace sonde::hooks

#define SONDE_LOCK_DOOR(symbol) \
  using Door_##symbol = ::sonde::hooks::LockDoor<::sonde::hooks::kHook_##symbol, decltype(symbol)>
