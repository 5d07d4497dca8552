// SPDX-License-Identifier: Apache-2.0
// A spin lock that signal handlers may take too: always inside a SignalBlock, so that no handler of
// the holder's own thread can run into it. For slow paths only. Async-signal-safe; used by the CPU
// timers and the signal owner.
#pragma once

#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "collectors/safe/sys.h"

namespace sonde {

constexpr uint64_t SignalBit(int signal) { return uint64_t{1} << (signal - 1); }

// Blocks every signal of the calling thread for its life. Async-signal-safe.
class SignalBlock {
 public:
  SignalBlock() {
    const uint64_t all = ~uint64_t{0};
    sys::Call(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before_, 8L);
  }
  ~SignalBlock() { sys::Call(SYS_rt_sigprocmask, SIG_SETMASK, &before_, 0L, 8L); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  uint64_t before_ = 0;
};

// Async-signal-safe inside a SignalBlock.
class SpinLock {
 public:
  void Lock() {
    // Acquire pairs with the release in Unlock.
    // Sleeps: a real-time thread that only yields would never let an ordinary holder go on.
    while (held_.exchange(true, std::memory_order_acquire)) {
      const timespec step{0, 20'000};
      sys::Call(SYS_nanosleep, &step, 0L);
    }
  }
  [[nodiscard]] bool TryLock() { return !held_.exchange(true, std::memory_order_acquire); }
  void Unlock() { held_.store(false, std::memory_order_release); }
  // In a fork child, where the holder may not exist.
  void Reset() { held_.store(false, std::memory_order_relaxed); }

 private:
  std::atomic<bool> held_{false};
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.Lock(); }
  ~SpinGuard() { lock_.Unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace sonde
