// SPDX-License-Identifier: Apache-2.0
// The arena's lock: a futex word (0 free, 1 held, 2 held and awaited) plus a mark in the holding
// thread. Used by arena.cc only. A waiter sleeps in the kernel, so a holder of lower real-time
// priority still gets on. The mark is set before the word and cleared after it: a signal handler
// that enters again on the same thread sees it at any point and is turned away instead of waiting
// for itself.
#pragma once

#include <linux/futex.h>
#include <stdint.h>

#include <atomic>

#include "collectors/safe/sys.h"

namespace sonde::runtime {

class ArenaLock {
 public:
  // Cold path only. False when this thread is inside already; then Unlock must not be called.
  [[nodiscard]] bool Lock() {
    if (inside_) return false;
    inside_ = true;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    uint32_t word = 0;
    // Acquire pairs with the release in Unlock.
    if (!word_.compare_exchange_strong(word, 1, std::memory_order_acquire)) Wait();
    return true;
  }

  // Cold path only.
  void Unlock() {
    if (word_.exchange(0, std::memory_order_release) == 2) Futex(FUTEX_WAKE_PRIVATE, 1);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    inside_ = false;
  }

  // Async-signal-safe. For a forked child with one thread, whatever state the lock was copied in.
  void Reset() {
    word_.store(0, std::memory_order_relaxed);
    inside_ = false;
  }

 private:
  void Wait() {
    while (word_.exchange(2, std::memory_order_acquire) != 0) Futex(FUTEX_WAIT_PRIVATE, 2);
  }

  void Futex(int operation, uint32_t value) {
    sys::Call(SYS_futex, &word_, operation, value, 0L, 0L, 0L);
  }

  static inline constinit thread_local bool inside_ = false;
  std::atomic<uint32_t> word_{0};
};

}  // namespace sonde::runtime
