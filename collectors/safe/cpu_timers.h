// SPDX-License-Identifier: Apache-2.0
// The CPU-clock timers of this process: one for each thread that burnt CPU lately. The kernel
// signals a thread only while that thread itself runs, so nothing that sleeps is ever woken or
// interrupted (traps 12, 13).
//
// Who calls: the agent thread (sweeps), a forked child or a fresh thread for itself, and a host
// thread that wants our signal back. Thread-safety: a spin lock inside a signal block. The handler
// only reads, by index and generation. Memory: kMaxTimers slots of 64 bytes, untouched until used;
// private to the process.
#pragma once

#include <atomic>
#include <cstdint>

#include "collectors/safe/thread_table.h"

namespace sonde {

constexpr uint32_t kMaxTimers = 1024;
constexpr uint32_t kNoTimer = ~uint32_t{0};

enum class StopReason : uint8_t { kOff, kSignalTaken, kSeccomp };

// What a timer signal carries: index and generation of the slot, and a mark that tells our timers
// from the host's.
struct TimerCookie {
  uint16_t index;
  uint32_t generation;  // 24 bits
  static constexpr uint64_t kMark = 0x5DE0;

  [[nodiscard]] constexpr uint64_t Pack() const {
    return kMark << 48 | uint64_t{generation & 0xFFFFFF} << 16 | index;
  }
  static constexpr bool IsOurs(uint64_t packed) { return packed >> 48 == kMark; }
  static constexpr TimerCookie Unpack(uint64_t packed) {
    return {static_cast<uint16_t>(packed), static_cast<uint32_t>(packed >> 16 & 0xFFFFFF)};
  }
};

constexpr uint64_t PackThread(ThreadId id) {
  return uint64_t{id.valid} << 63 | uint64_t{id.generation} << 32 | id.slot;
}
constexpr ThreadId UnpackThread(uint64_t packed) {
  return {static_cast<uint32_t>(packed), static_cast<uint32_t>(packed >> 32) & 0xFFFFF,
          packed >> 63 != 0};
}

// What makes a timer expire. The kernel counts user time at its ticks, a tick at a time, so one of
// user time expires in ticks that strike in user mode: never inside a system call. (With full
// dynticks, nohz_full, it is counted on the way into a call.)
enum class TimerClock : uint8_t { kAll, kUser };

struct alignas(64) TimerSlot {
  std::atomic<uint64_t> thread;     // whose samples these are: PackThread of the region's ThreadId
  std::atomic<uint64_t> period_ns;  // what one expiry stands for
  std::atomic<uint64_t>
      fired_ns;  // CPU time delivered so far: the sweep compares it with the thread's clock
  std::atomic<uint32_t> generation;  // odd while the timer exists
  std::atomic<int32_t> tid;          // 0: free
  std::atomic<uint32_t> weight;      // how many threads it speaks for
  int32_t kernel_id;
  std::atomic<TimerClock> clock;
};

// Index of the new timer, or a negated errno: -EAGAIN when RLIMIT_SIGPENDING or our share of it is
// used up, -EBUSY while timers are stopped. `first_ns` is the CPU time to the first expiry, 1 …
// period_ns. `weight`: where one thread in so many is armed, each of its expiries counts for them
// all. Async-signal-safe.
int StartTimer(int tid, ThreadId thread, uint64_t period_ns, uint64_t first_ns, int signal,
               uint32_t weight = 1, TimerClock clock = TimerClock::kAll);

// A CPU time from 1 ns to one period: first expiries must not fall into step with the host's own
// rhythm. Async-signal-safe.
uint64_t RandomPhase(uint64_t period_ns);

// Async-signal-safe. A timer that is gone already is left alone.
void StopTimer(uint32_t index);

// Bytes of an alternate stack below which a signal could not be delivered on it: the kernel's frame
// and ours.
uint64_t AlternateStackNeeded();

// A thread with such a reason holds no timer until it is permitted again. Async-signal-safe.
enum class ForbidReason : uint8_t {
  kStack,   // its alternate stack is smaller than that
  kTraced,  // a signal stops it until its tracer, if it has one, lets it go on
  kRing,    // it has been in io_uring_enter, whose wait our signal ends (rings.h)
};
void ForbidTimer(int tid, ForbidReason reason = ForbidReason::kStack);
void PermitTimer(int tid, ForbidReason reason = ForbidReason::kStack);
bool IsForbidden(int tid);
bool IsForbidden(int tid, ForbidReason reason);

// Deletes the timers of threads that have ended, where no sweep does (forked children). Calls
// `gone` for each. Async-signal-safe.
void ReapTimers(void (*gone)(ThreadId thread));

// Deletes every timer and refuses new ones until AllowTimers. Async-signal-safe.
void StopAllTimers(StopReason reason);
void AllowTimers();

// Gives every timer a new period. Async-signal-safe.
void SetTimerPeriod(uint64_t period_ns);

// Gives one timer another period, from within its own handler; 0 disarms it. Async-signal-safe.
void ResetTimer(TimerSlot& slot, uint64_t period_ns);

// A timer that fires once, for a thread whose stack is wanted now. `cookie` is what its signal
// carries. Same rules, limits and refusals as StartTimer; -EAGAIN also when kMaxOneShots are under
// way. Of user time in a process with an io_uring, for a thread that is not known to stay out of
// there. Returns a number for StopOneShot. Async-signal-safe.
constexpr uint32_t kMaxOneShots = 32;
int StartOneShot(int tid, TimerCookie cookie, uint64_t after_ns, int signal);

// Whether it fired or not. Not one that StopAllTimers has deleted: then the number means nothing
// any more, and is ignored. Async-signal-safe.
void StopOneShot(uint32_t number);

// RLIMIT_SIGPENDING belongs to the whole uid (traps 14), so all processes of the tree share one
// budget: `total` and `mine` are shared words that count what all, and what this process, hold, and
// `limit` says how many that may be. Without one there is no limit but kMaxTimers. Cold path only.
struct TimerBudget {
  std::atomic<uint32_t>* total = nullptr;
  std::atomic<uint32_t>* mine = nullptr;
  const std::atomic<uint32_t>* limit = nullptr;
};
void SetTimerBudget(const TimerBudget& budget);

uint32_t TimersHeld();

// The slot of a cookie, or null when that timer is gone. Async-signal-safe.
TimerSlot* FindTimer(uint64_t packed_cookie);

// Cold path only: for the sweep.
TimerSlot& TimerAt(uint32_t index);

// In a fork child: timers are not inherited, the slots are only remembered. Async-signal-safe.
void TimersAfterFork();

}  // namespace sonde
