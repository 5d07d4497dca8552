// SPDX-License-Identifier: Apache-2.0
// The host's own locking functions, and the one word that says whether ours measure. While they do
// not, an exported function is one load, one branch that is not taken, and one jump to the host's:
// no frame of ours is on the host's stack, and cancellation and exceptions are the host's own.
//
// Constant-initialised, so it works before any constructor and with locks that are initialised
// statically. Any thread. No memory.
#pragma once

#include <errno.h>

#include <atomic>

#include "agent/hooks/hook.h"

namespace sonde::hooks {

extern constinit std::atomic<bool> g_measure_locks;

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
