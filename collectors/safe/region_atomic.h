// SPDX-License-Identifier: Apache-2.0
// The only way in which shared words of the region are touched. Used by everything in this folder
// that reads or writes the region; lock-free, usable in signal handlers and between processes. No
// memory of its own.
//
// One rule of ordering for all of it: loads acquire, stores release, read-modify-writes do both.
// Every load is the partner of every store to the same word, so "publish the content, then its tag"
// and "read the tag, the content, the tag again" are right without fences. On x86-64 these orders
// cost nothing.
//
// SONDE_MODEL_CHECK is set by the interleaving tests only: they compile the same sources with a
// scheduler that takes over before each access.
#pragma once

#include <stdint.h>

#include <atomic>

#ifdef SONDE_MODEL_CHECK
namespace sonde::model {
void Step(const void* address, unsigned bytes, bool writes);
}
#define SONDE_SHARED_STEP(address, writes) ::sonde::model::Step(address, sizeof *(address), writes)
#else
#define SONDE_SHARED_STEP(address, writes) static_cast<void>(0)
#endif

namespace sonde {

// A word of the region. Zero is its empty state, so fresh pages need no initialisation.
template <typename T>
class Shared {
  static_assert(std::atomic<T>::is_always_lock_free);

 public:
  // Async-signal-safe.
  T Load() const {
    SONDE_SHARED_STEP(&value_, false);
    return value_.load(std::memory_order_acquire);
  }
  // Async-signal-safe.
  void Store(T value) {
    SONDE_SHARED_STEP(&value_, true);
    value_.store(value, std::memory_order_release);
  }
  // Async-signal-safe.
  [[nodiscard]] bool Cas(T expected, T desired) {
    SONDE_SHARED_STEP(&value_, true);
    return value_.compare_exchange_strong(expected, desired, std::memory_order_acq_rel,
                                          std::memory_order_acquire);
  }
  // Async-signal-safe.
  void Add(T amount) {
    SONDE_SHARED_STEP(&value_, true);
    value_.fetch_add(amount, std::memory_order_acq_rel);
  }
  // Async-signal-safe.
  void Set(T bits) {
    SONDE_SHARED_STEP(&value_, true);
    value_.fetch_or(bits, std::memory_order_acq_rel);
  }
  // Async-signal-safe.
  void Clear(T bits) {
    SONDE_SHARED_STEP(&value_, true);
    value_.fetch_and(static_cast<T>(~bits), std::memory_order_acq_rel);
  }

 private:
  std::atomic<T> value_;
};

// Two words that change together, by one 16-byte compare-and-swap.
struct alignas(16) SharedPair {
  Shared<uint64_t> first;
  Shared<uint64_t> second;

  // Async-signal-safe.
  [[nodiscard]] bool Cas(uint64_t old_first, uint64_t old_second, uint64_t new_first,
                         uint64_t new_second) {
    SONDE_SHARED_STEP(this, true);
    bool done;
    asm volatile("lock cmpxchg16b %1"
                 : "=@ccz"(done), "+m"(*this), "+a"(old_first), "+d"(old_second)
                 : "b"(new_first), "c"(new_second)
                 : "memory");
    return done;
  }
};

}  // namespace sonde
