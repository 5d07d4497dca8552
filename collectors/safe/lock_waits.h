// SPDX-License-Identifier: Apache-2.0
// Who keeps others waiting for a lock, and for how long; who waits. Called by the lock hooks, in
// any thread, only where a lock is contended; lock-free, bounded, nothing here allocates or touches
// the lock itself.
//
// A lock that is waited for has a slot: how many wait, and since when in sum. An unlock takes out
// what has accumulated since the unlock before, so every holder is charged with exactly the waiting
// that fell into its time:   charge = n · now − Σ since,   then every `since` is now.
// What lies between the last unlock and a waiter's return (its wake-up) is charged to nobody.
//
// Both sides are sampled by length: a delay of d counts with the probability min(1, d / period) and
// then for max(d, period), so sums are unbiased and one stack is taken per period of waiting at
// most. A hundred threads that wait all the time would still take a million a second, and do so
// while others wait for them: beyond kDelaysPerSecond the period grows. Private to the process; a
// fork or raw clone wipes it. Memory: kSlots × 32 bytes, touched as used; 16 bytes of TLS a thread.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/hook_record.h"
#include "collectors/safe/region_atomic.h"

namespace sonde {

inline constexpr uint64_t kLockPeriodNs = 100'000;  // at least

struct LockSlot {
  Shared<uint64_t> lock;  // its address; 0: free
  Shared<uint64_t> unused;
  // first: waiters:16 | sum of their `since`, modulo 2^48; second: time of the last charge.
  // Times are in units of 64 ns.
  SharedPair state;
};

struct alignas(4096) LockWaits {
  static constexpr uint32_t kSlots = 1024;
  static constexpr uint32_t kWays = 4;
  LockSlot slots[kSlots];
};

// One thread's wait.
struct WaitTicket {
  LockSlot* slot = nullptr;
  uint64_t lock = 0;
  uint64_t since_ns = 0;
};

// Malloc-safe: may not allocate or block. The calling thread begins to wait; and has waited.
WaitTicket BeginLockWait(LockWaits* waits, const void* lock, uint64_t now_ns);
void EndLockWait(const WaitTicket& wait);

// Malloc-safe: may not allocate or block. The waiting, in nanoseconds, that the holder who is about
// to unlock is to be charged with; 0: nobody waits.
uint64_t ChargeUnlock(LockWaits* waits, const void* lock, uint64_t now_ns);

// Malloc-safe: may not allocate or block. Whether anybody seems to wait: two loads and more.
bool IsWaitedFor(LockWaits* waits, const void* lock);

// Malloc-safe: may not allocate or block. What a delay counts for; events 0: it is not sampled.
struct DelaySample {
  uint64_t events = 0;
  uint64_t amount = 0;
};
DelaySample SampleDelay(uint64_t delay_ns, uint64_t period_ns, uint64_t random);

// Which period keeps the stacks below kDelaysPerSecond: decided anew in each window, by what was
// taken in the one before. Any thread.
class DelayPeriod {
 public:
  static constexpr uint64_t kDelaysPerSecond = 2000;
  static constexpr uint64_t kWindowNs = 100'000'000;
  static constexpr uint32_t kMaxLog2 = 12;

  // Malloc-safe: may not allocate or block.
  uint64_t At(uint64_t now_ns);
  // Malloc-safe: may not allocate or block. A stack was taken.
  void Count() { taken_.fetch_add(1, std::memory_order_relaxed); }

 private:
  void Roll(uint64_t windows);

  std::atomic<uint64_t> window_{0};
  std::atomic<uint32_t> taken_{0};  // in the window
  std::atomic<uint32_t> log2_{0};   // the period is kLockPeriodNs << log2_
};

// Malloc-safe: may not allocate or block. Counts a delay on the stack of the hook's caller, if it
// is sampled.
void RecordDelay(const HookFrame& caller, Kind kind, uint64_t delay_ns, uint64_t now_ns);

// Malloc-safe: may not allocate or block. The tid of the calling thread, asked for once.
int ThisThreadTid();

// Cold path only. Has the kernel wipe the table on a fork; false: it cannot.
[[nodiscard]] bool PrepareLockWaits(LockWaits* waits);

// Async-signal-safe. In a fork child, in its only thread.
void LockWaitsAfterFork();

}  // namespace sonde
