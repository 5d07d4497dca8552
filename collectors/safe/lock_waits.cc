// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/lock_waits.h"

#include <bit>

#include "collectors/safe/heap_math.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr int kWipeOnFork = 18;  // MADV_WIPEONFORK, Linux 4.14
constexpr uint64_t kUnitNs = 64;
constexpr uint64_t kSumBits = 48;
constexpr uint64_t kSumMask = (uint64_t{1} << kSumBits) - 1;
constexpr uint64_t kMaxWaiters = (uint64_t{1} << 16) - 1;
constexpr int kAttempts = 64;  // until a change of a slot is given up

struct LockThread {
  uint64_t random;  // 0: not begun
  int tid;
};
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
constinit thread_local LockThread t_lock{};
constinit DelayPeriod g_period;

// Malloc-safe: may not allocate or block.
LockSlot* GroupOf(LockWaits* waits, uint64_t lock) {
  constexpr uint32_t kGroups = LockWaits::kSlots / LockWaits::kWays;
  const auto hash = static_cast<uint32_t>(lock * 0x9e3779b97f4a7c15 >> 40);
  return waits->slots + hash % kGroups * LockWaits::kWays;
}

// Malloc-safe: may not allocate or block.
LockSlot* Find(LockWaits* waits, uint64_t lock) {
  LockSlot* const group = GroupOf(waits, lock);
  for (uint32_t way = 0; way < LockWaits::kWays; ++way) {
    if (group[way].lock.Load() == lock) return &group[way];
  }
  return nullptr;
}

// Malloc-safe: may not allocate or block.
constexpr uint64_t WaitersOf(uint64_t word) { return word >> kSumBits; }

// Malloc-safe: may not allocate or block.
constexpr uint64_t Pack(uint64_t waiters, uint64_t sum) {
  return waiters << kSumBits | (sum & kSumMask);
}

// Malloc-safe: may not allocate or block. A slot for this lock: its own, or one that nobody waits
// at.
LockSlot* Claim(LockWaits* waits, uint64_t lock) {
  if (LockSlot* const known = Find(waits, lock); known != nullptr) return known;
  LockSlot* const group = GroupOf(waits, lock);
  for (uint32_t way = 0; way < LockWaits::kWays; ++way) {
    const uint64_t other = group[way].lock.Load();
    if (WaitersOf(group[way].state.first.Load()) != 0) continue;
    if (group[way].lock.Cas(other, lock)) return &group[way];
  }
  return nullptr;
}

// Malloc-safe: may not allocate or block. Adds a waiter since `since`, or since the last charge if
// that was later.
bool Enter(LockSlot* slot, uint64_t since) {
  for (int i = 0; i < kAttempts; ++i) {
    const uint64_t first = slot->state.first.Load();
    const uint64_t charged = slot->state.second.Load();
    const uint64_t waiters = WaitersOf(first);
    if (waiters == kMaxWaiters) return false;
    const uint64_t from = since > charged ? since : charged;
    if (slot->state.Cas(first, charged, Pack(waiters + 1, first + from), charged)) return true;
  }
  return false;
}

// Malloc-safe: may not allocate or block. The last one leaves no remainder behind.
void Leave(LockSlot* slot, uint64_t since) {
  for (int i = 0; i < kAttempts * kAttempts; ++i) {
    const uint64_t first = slot->state.first.Load();
    const uint64_t charged = slot->state.second.Load();
    const uint64_t waiters = WaitersOf(first);
    if (waiters == 0) return;
    const uint64_t from = since > charged ? since : charged;
    const uint64_t left = waiters == 1 ? 0 : Pack(waiters - 1, first - from);
    if (slot->state.Cas(first, charged, left, charged)) return;
  }
}

// Malloc-safe: may not allocate or block.
uint64_t NextOfThread() {
  if (t_lock.random == 0) {
    uint32_t low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    t_lock.random = (uint64_t{high} << 32 | low) ^ reinterpret_cast<uintptr_t>(&t_lock) << 16 ^ 1;
  }
  return NextRandom(&t_lock.random);
}

}  // namespace

WaitTicket BeginLockWait(LockWaits* waits, const void* lock, uint64_t now_ns) {
  WaitTicket wait;
  wait.lock = reinterpret_cast<uintptr_t>(lock);
  wait.since_ns = now_ns;
  LockSlot* const slot = Claim(waits, wait.lock);
  if (slot == nullptr || !Enter(slot, now_ns / kUnitNs)) return wait;
  wait.slot = slot;
  if (slot->lock.Load() == wait.lock) return wait;
  // Another lock took the slot between finding it and entering.
  EndLockWait(wait);
  wait.slot = nullptr;
  return wait;
}

void EndLockWait(const WaitTicket& wait) {
  if (wait.slot != nullptr) Leave(wait.slot, wait.since_ns / kUnitNs);
}

bool IsWaitedFor(LockWaits* waits, const void* lock) {
  LockSlot* const slot = Find(waits, reinterpret_cast<uintptr_t>(lock));
  return slot != nullptr && WaitersOf(slot->state.first.Load()) != 0;
}

uint64_t ChargeUnlock(LockWaits* waits, const void* lock, uint64_t now_ns) {
  LockSlot* const slot = Find(waits, reinterpret_cast<uintptr_t>(lock));
  if (slot == nullptr) return 0;
  const uint64_t now = now_ns / kUnitNs;
  for (int i = 0; i < kAttempts; ++i) {
    const uint64_t first = slot->state.first.Load();
    const uint64_t charged = slot->state.second.Load();
    const uint64_t waiters = WaitersOf(first);
    if (waiters == 0 || now <= charged) return 0;
    const uint64_t charge = (waiters * now - first) & kSumMask;
    // One of them began after this thread looked at the clock.
    if (charge >> (kSumBits - 1) != 0) return 0;
    if (slot->state.Cas(first, charged, Pack(waiters, waiters * now), now)) return charge * kUnitNs;
  }
  return 0;
}

DelaySample SampleDelay(uint64_t delay_ns, uint64_t period_ns, uint64_t random) {
  if (delay_ns >= period_ns) return {1, delay_ns};
  if (delay_ns == 0 || (random >> 32) * period_ns >> 32 >= delay_ns) return {};
  // Contentions are whole: a fraction becomes one more at random.
  const uint64_t rest = period_ns % delay_ns;
  const bool up = (random & 0xffffffff) * delay_ns >> 32 < rest;
  return {period_ns / delay_ns + (up ? 1 : 0), period_ns};
}

// Malloc-safe: may not allocate or block. Up at once, down by halves.
void DelayPeriod::Roll(uint64_t windows) {
  constexpr uint64_t kAllowed = kDelaysPerSecond * kWindowNs / 1'000'000'000;
  const uint64_t taken = taken_.exchange(0, std::memory_order_relaxed) / windows;
  uint64_t log2 = log2_.load(std::memory_order_relaxed);
  if (taken > kAllowed) {
    const auto up = static_cast<uint32_t>(std::bit_width((taken - 1) / kAllowed));
    log2 = log2 + up < kMaxLog2 ? log2 + up : kMaxLog2;
  } else if (taken < kAllowed / 4) {
    log2 -= log2 < windows ? log2 : windows;
  }
  log2_.store(static_cast<uint32_t>(log2), std::memory_order_relaxed);
}

uint64_t DelayPeriod::At(uint64_t now_ns) {
  const uint64_t window = now_ns / kWindowNs;
  uint64_t last = window_.load(std::memory_order_relaxed);
  if (window > last && window_.compare_exchange_strong(last, window, std::memory_order_relaxed)) {
    Roll(window - last);
  }
  return kLockPeriodNs << log2_.load(std::memory_order_relaxed);
}

void RecordDelay(const HookFrame& caller, Kind kind, uint64_t delay_ns, uint64_t now_ns) {
  const DelaySample sample = SampleDelay(delay_ns, g_period.At(now_ns), NextOfThread());
  if (sample.events == 0) return;
  g_period.Count();
  RecordHookStack(caller, kind, sample.events, sample.amount);
}

int ThisThreadTid() {
  if (t_lock.tid == 0) t_lock.tid = sys::Gettid();
  return t_lock.tid;
}

bool PrepareLockWaits(LockWaits* waits) {
  return !sys::Failed(sys::Call(SYS_madvise, waits, sizeof *waits, kWipeOnFork));
}

void LockWaitsAfterFork() { t_lock = {}; }

}  // namespace sonde
