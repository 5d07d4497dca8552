// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/cpu_timers.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "collectors/safe/rings.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constinit SpinLock g_lock{};
constinit TimerSlot g_slots[kMaxTimers]{};
constinit std::atomic<uint32_t> g_held{0};
constinit TimerBudget g_budget{};
// slot.tid of every slot, close together: looking for one thread reads 4 KiB, not 64.
constinit std::atomic<int32_t> g_tids[kMaxTimers]{};
constinit bool g_allowed = true;

// Kernel ids of one-shot timers, plus 1; 0: free.
constinit int64_t g_one_shots[kMaxOneShots]{};

// Threads that may not have a timer; few hosts have any. Reason above, tid below; 0: free.
constexpr uint32_t kMaxForbidden = 256;
constinit std::atomic<uint64_t> g_forbidden[kMaxForbidden]{};
constinit std::atomic<uint32_t> g_forbidden_used{0};
constinit std::atomic<bool> g_too_many_forbidden{false};  // then nobody holds a timer

constexpr uint64_t Forbidden(int tid, ForbidReason reason) {
  return uint64_t{static_cast<uint8_t>(reason)} << 32 | static_cast<uint32_t>(tid);
}

// The kernel's encoding of "CPU clock of thread tid" (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED).
// User time is CPUCLOCK_VIRT.
constexpr clockid_t ThreadClock(int tid, TimerClock clock) {
  const unsigned kind = clock == TimerClock::kUser ? 1 : 2;
  return static_cast<clockid_t>(~static_cast<unsigned>(tid) << 3 | 4 | kind);
}

timespec ToTimespec(uint64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

long SetTime(int32_t kernel_id, uint64_t first_ns, uint64_t period_ns) {
  const itimerspec spec{ToTimespec(period_ns), ToTimespec(first_ns)};
  return sys::Call(SYS_timer_settime, kernel_id, 0L, &spec, 0L);
}

long CreateTimer(int tid, TimerClock clock, int signal, uint64_t cookie, int32_t* kernel_id) {
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(cookie);
  event._sigev_un._tid = tid;
  return sys::Call(SYS_timer_create, ThreadClock(tid, clock), &event, kernel_id);
}

// The slot that thread `tid` holds and the lowest free one; kNoTimer where there is none.
struct Places {
  uint32_t held = kNoTimer;
  uint32_t free = kNoTimer;
};

Places FindPlacesLocked(int tid) {
  Places found;
  uint32_t left = g_held.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < kMaxTimers && (left > 0 || found.free == kNoTimer); ++i) {
    const int32_t holder = g_tids[i].load(std::memory_order_relaxed);
    if (holder == 0) {
      if (found.free == kNoTimer) found.free = i;
      continue;
    }
    --left;
    if (holder == tid) found.held = i;
  }
  return found;
}

void SetTid(uint32_t index, int32_t tid) {
  g_slots[index].tid.store(tid, std::memory_order_relaxed);
  g_tids[index].store(tid, std::memory_order_relaxed);
}

uint32_t IndexOf(const TimerSlot& slot) { return static_cast<uint32_t>(&slot - g_slots); }

bool TakeFromBudget() {
  if (g_budget.total == nullptr) return true;
  const uint32_t limit = g_budget.limit->load(std::memory_order_relaxed);
  if (g_budget.total->fetch_add(1, std::memory_order_relaxed) >= limit) {
    g_budget.total->fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  g_budget.mine->fetch_add(1, std::memory_order_relaxed);
  return true;
}

void ReturnToBudget() {
  if (g_budget.total == nullptr) return;
  g_budget.total->fetch_sub(1, std::memory_order_relaxed);
  g_budget.mine->fetch_sub(1, std::memory_order_relaxed);
}

void FreeLocked(TimerSlot& slot) {
  slot.generation.fetch_add(1, std::memory_order_release);  // even: late signals find nothing
  SetTid(IndexOf(slot), 0);
  g_held.fetch_sub(1, std::memory_order_relaxed);
  ReturnToBudget();
}

void StopLocked(TimerSlot& slot) {
  if (slot.tid.load(std::memory_order_relaxed) == 0) return;
  sys::Call(SYS_timer_delete, slot.kernel_id);
  FreeLocked(slot);
}

void StopOneShotLocked(uint32_t number) {
  if (g_one_shots[number] == 0) return;
  sys::Call(SYS_timer_delete, g_one_shots[number] - 1);
  g_one_shots[number] = 0;
  ReturnToBudget();
}

// A tid that is used again: its old thread is gone.
void StopTimerOfTidLocked(int tid) {
  const uint32_t held = FindPlacesLocked(tid).held;
  if (held != kNoTimer) StopLocked(g_slots[held]);
}

// Who has a timer of all its time is known to stay out of there.
bool MayWaitInRingLocked(int tid) {
  if (!ProcessHasRing()) return false;
  const uint32_t held = FindPlacesLocked(tid).held;
  return held == kNoTimer ||
         g_slots[held].clock.load(std::memory_order_relaxed) != TimerClock::kAll;
}

// Of threads that have ended. True when a place was free after that.
bool FreeForbiddenLocked() {
  const int pid = sys::Getpid();
  bool freed = false;
  for (auto& place : g_forbidden) {
    const auto tid = static_cast<int>(place.load(std::memory_order_relaxed) & 0xFFFFFFFF);
    if (tid != 0 && sys::Call(SYS_tgkill, pid, tid, 0L) != -ESRCH) continue;
    place.store(0, std::memory_order_relaxed);
    freed = true;
  }
  return freed;
}

uint32_t FreePlaceLocked() {
  uint32_t at = 0;
  while (at < kMaxForbidden && g_forbidden[at].load(std::memory_order_relaxed) != 0) ++at;
  return at;
}

int StartLocked(int tid, ThreadId thread, uint64_t period_ns, uint64_t first_ns, int signal,
                uint32_t weight, TimerClock clock) {
  if (!g_allowed || signal == 0) return -EBUSY;
  if (IsForbidden(tid)) return -EPERM;
  const Places places = FindPlacesLocked(tid);
  if (places.held != kNoTimer) StopLocked(g_slots[places.held]);
  const uint32_t index = places.held != kNoTimer ? places.held : places.free;
  if (index == kNoTimer || !TakeFromBudget()) return -EAGAIN;
  TimerSlot& slot = g_slots[index];
  const uint32_t generation = slot.generation.load(std::memory_order_relaxed) + 1;
  const TimerCookie cookie{static_cast<uint16_t>(index), generation};
  const long created = CreateTimer(tid, clock, signal, cookie.Pack(), &slot.kernel_id);
  if (sys::Failed(created)) {
    ReturnToBudget();
    return static_cast<int>(created);
  }
  slot.thread.store(PackThread(thread), std::memory_order_relaxed);
  slot.period_ns.store(period_ns, std::memory_order_relaxed);
  slot.fired_ns.store(0, std::memory_order_relaxed);
  slot.weight.store(weight, std::memory_order_relaxed);
  slot.clock.store(clock, std::memory_order_relaxed);
  SetTid(index, tid);
  slot.generation.store(generation, std::memory_order_release);  // pairs with FindTimer
  g_held.fetch_add(1, std::memory_order_relaxed);
  SetTime(slot.kernel_id, first_ns, period_ns);
  return static_cast<int>(index);
}

}  // namespace

// Async-signal-safe.
int StartTimer(int tid, ThreadId thread, uint64_t period_ns, uint64_t first_ns, int signal,
               uint32_t weight, TimerClock clock) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  return StartLocked(tid, thread, period_ns, first_ns, signal, weight, clock);
}

// Async-signal-safe. The cycle counter through the finaliser of SplitMix64 (Steele et al., 2014).
uint64_t RandomPhase(uint64_t period_ns) {
  uint64_t x = __builtin_ia32_rdtsc() + 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return (x ^ (x >> 31)) % period_ns + 1;
}

// Async-signal-safe.
void StopTimer(uint32_t index) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  if (index < kMaxTimers) StopLocked(g_slots[index]);
}

// Async-signal-safe.
bool IsForbidden(int tid) {
  if (g_too_many_forbidden.load(std::memory_order_relaxed)) return true;
  const uint32_t used = g_forbidden_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    const uint64_t forbidden = g_forbidden[i].load(std::memory_order_relaxed);
    if (static_cast<int>(forbidden & 0xFFFFFFFF) == tid) return true;
  }
  return false;
}

// Async-signal-safe. Not even once; a ring's thread may, by its user time.
bool MayNotBeSignalled(int tid) {
  return g_too_many_forbidden.load(std::memory_order_relaxed) ||
         IsForbidden(tid, ForbidReason::kStack) || IsForbidden(tid, ForbidReason::kTraced);
}

// Async-signal-safe.
bool IsForbidden(int tid, ForbidReason reason) {
  const uint32_t used = g_forbidden_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    if (g_forbidden[i].load(std::memory_order_relaxed) == Forbidden(tid, reason)) return true;
  }
  return false;
}

// Async-signal-safe.
void ForbidTimer(int tid, ForbidReason reason) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  StopTimerOfTidLocked(tid);
  if (IsForbidden(tid, reason)) return;
  uint32_t at = FreePlaceLocked();
  if (at == kMaxForbidden && FreeForbiddenLocked()) at = FreePlaceLocked();
  if (at == kMaxForbidden) {
    g_too_many_forbidden.store(true, std::memory_order_relaxed);
    return;
  }
  g_forbidden[at].store(Forbidden(tid, reason), std::memory_order_relaxed);
  if (at >= g_forbidden_used.load(std::memory_order_relaxed)) {
    g_forbidden_used.store(at + 1, std::memory_order_release);
  }
}

// Async-signal-safe.
void PermitTimer(int tid, ForbidReason reason) {
  const uint32_t used = g_forbidden_used.load(std::memory_order_acquire);
  for (uint32_t i = 0; i < used; ++i) {
    uint64_t expected = Forbidden(tid, reason);
    g_forbidden[i].compare_exchange_strong(expected, 0, std::memory_order_relaxed);
  }
}

// Async-signal-safe.
void ReapTimers(void (*gone)(ThreadId thread)) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  const int pid = sys::Getpid();
  for (TimerSlot& slot : g_slots) {
    const int32_t tid = slot.tid.load(std::memory_order_relaxed);
    if (tid == 0 || sys::Call(SYS_tgkill, pid, tid, 0L) != -ESRCH) continue;
    gone(UnpackThread(slot.thread.load(std::memory_order_relaxed)));
    StopLocked(slot);
  }
}

// Async-signal-safe.
int StartOneShot(int tid, TimerCookie cookie, uint64_t after_ns, int signal) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  if (!g_allowed || signal == 0) return -EBUSY;
  if (MayNotBeSignalled(tid)) return -EPERM;
  uint32_t number = 0;
  while (number < kMaxOneShots && g_one_shots[number] != 0) ++number;
  if (number == kMaxOneShots || !TakeFromBudget()) return -EAGAIN;
  int32_t kernel_id = 0;
  const TimerClock clock = MayWaitInRingLocked(tid) ? TimerClock::kUser : TimerClock::kAll;
  const long created = CreateTimer(tid, clock, signal, cookie.Pack(), &kernel_id);
  if (sys::Failed(created)) {
    ReturnToBudget();
    return static_cast<int>(created);
  }
  g_one_shots[number] = int64_t{kernel_id} + 1;
  SetTime(kernel_id, after_ns, 0);
  return static_cast<int>(number);
}

// Async-signal-safe.
void StopOneShot(uint32_t number) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  if (number < kMaxOneShots) StopOneShotLocked(number);
}

// Async-signal-safe.
void StopAllTimers(StopReason) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  g_allowed = false;
  for (uint32_t number = 0; number < kMaxOneShots; ++number) StopOneShotLocked(number);
  for (TimerSlot& slot : g_slots) {
    if (g_held.load(std::memory_order_relaxed) == 0) break;
    StopLocked(slot);
  }
}

// Async-signal-safe.
void AllowTimers() {
  SignalBlock block;
  SpinGuard guard(g_lock);
  g_allowed = true;
}

// Async-signal-safe.
void SetTimerPeriod(uint64_t period_ns) {
  SignalBlock block;
  SpinGuard guard(g_lock);
  for (TimerSlot& slot : g_slots) {
    if (slot.tid.load(std::memory_order_relaxed) == 0) continue;
    slot.period_ns.store(period_ns, std::memory_order_relaxed);
    SetTime(slot.kernel_id, period_ns, period_ns);
  }
}

// Async-signal-safe. No lock: the slot cannot be given to another thread while its own handler
// runs, and setting a timer that is being deleted fails harmlessly.
void ResetTimer(TimerSlot& slot, uint64_t period_ns) {
  slot.period_ns.store(period_ns, std::memory_order_relaxed);
  SetTime(slot.kernel_id, period_ns, period_ns);
}

// Cold path only.
void SetTimerBudget(const TimerBudget& budget) { g_budget = budget; }

// Async-signal-safe.
uint32_t TimersHeld() { return g_held.load(std::memory_order_relaxed); }

// Async-signal-safe.
TimerSlot* FindTimer(uint64_t packed_cookie) {
  const TimerCookie cookie = TimerCookie::Unpack(packed_cookie);
  if (cookie.index >= kMaxTimers) return nullptr;
  TimerSlot& slot = g_slots[cookie.index];
  const uint32_t generation = slot.generation.load(std::memory_order_acquire);
  return (generation & 0xFFFFFF) == cookie.generation && (generation & 1) != 0 ? &slot : nullptr;
}

// Cold path only.
TimerSlot& TimerAt(uint32_t index) { return g_slots[index]; }

// Async-signal-safe.
void TimersAfterFork() {
  g_lock.Reset();
  g_budget = TimerBudget{};  // the parent's: nothing of this process is in it
  for (int64_t& one_shot : g_one_shots) one_shot = 0;
  // Every slot, whatever the count says: the fork may have come between the two.
  for (TimerSlot& slot : g_slots) {
    if (slot.tid.load(std::memory_order_relaxed) != 0) FreeLocked(slot);
  }
  g_held.store(0, std::memory_order_relaxed);
  g_allowed = true;
}

}  // namespace sonde
