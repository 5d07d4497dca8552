// SPDX-License-Identifier: Apache-2.0
#include "agent/life/self_timer.h"

#include <signal.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>

#include "agent/life/host_signal.h"
#include "agent/life/self.h"
#include "agent/life/state.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region.h"
#include "collectors/safe/rings.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constinit std::atomic<uint32_t> g_one_in{0};
constinit std::atomic<uint32_t> g_arms{0};

void NameThread(ThreadId id) {
  char name[16] = {};
  sys::Call(SYS_prctl, PR_GET_NAME, name);
  SetThreadName(TreeRegion(), id, name);
}

void OnThreadGone(ThreadId id) {
  if (id.valid) MarkThreadGone(TreeRegion(), id);
}

// In a forked child nobody else looks for threads that have ended: their timers, which count
// against the whole uid, and their slots are taken back by those that come after them.
void ReapNowAndThen() {
  constexpr uint32_t kEvery = 64;
  if (g_self.role == Role::kChild &&
      g_arms.fetch_add(1, std::memory_order_relaxed) % kEvery == kEvery - 1) {
    ReapTimers(&OnThreadGone);
  }
}

void Arm(int tid, ThreadId thread, uint64_t period_ns, uint32_t weight) {
  if (!thread.valid) return;
  NameThread(thread);
  // Nobody has seen where this one waits.
  const TimerClock clock = ProcessHasRing() ? TimerClock::kUser : TimerClock::kAll;
  StartTimer(tid, thread, period_ns, RandomPhase(period_ns),
             g_our_signal.load(std::memory_order_acquire), weight, clock);
}

// A descriptor of the host would read what is pending for this thread.
bool WouldBeRead() {
  uint64_t blocked = 0;
  const int signal = g_our_signal.load(std::memory_order_acquire);
  if (signal == 0 || !HostReadsAnySignal()) return false;
  sys::Call(SYS_rt_sigprocmask, SIG_BLOCK, 0L, &blocked, 8L);
  return (blocked & SignalBit(signal)) != 0;
}

// The period to arm with, 0 when the calling thread is not to have a timer.
uint64_t PeriodFor(int tid) {
  if (!Collecting()) return 0;
  ReapNowAndThen();
  const bool may = !IsForbidden(tid) && !WouldBeRead() && TimersHeld() < TreeTimerLimit();
  return may ? TreePeriodNs().load(std::memory_order_relaxed) : 0;
}

}  // namespace

uint32_t DrawSelfArming() {
  const uint32_t one_in = g_one_in.load(std::memory_order_relaxed);
  return one_in <= 1 || RandomPhase(one_in) == 1 ? one_in : 0;
}

void SetSelfArming(uint32_t one_in) { g_one_in.store(one_in, std::memory_order_relaxed); }

void ArmSelf() {
  const int tid = sys::Gettid();
  const uint64_t period_ns = PeriodFor(tid);
  if (period_ns != 0) Arm(tid, ClaimTreeThread(tid), period_ns, 1);
}

void ArmNewThread(uint32_t weight) {
  const int tid = sys::Gettid();
  const uint64_t period_ns = PeriodFor(tid);
  if (period_ns != 0) Arm(tid, ClaimNewTreeThread(tid), period_ns, weight);
}

void SelfArming::Tick(bool short_lived, uint32_t threads_made, uint64_t now_ns) {
  if (now_ns - since_ns_ < kWindowNs) return;
  const uint64_t made = threads_made - threads_made_;
  const uint64_t allowed = kArmsPerSecond * (now_ns - since_ns_) / 1'000'000'000;
  since_ns_ = now_ns;
  threads_made_ = threads_made;
  const uint64_t one_in = std::clamp<uint64_t>((made + allowed - 1) / allowed, 1, kMaxOneIn);
  SetSelfArming(short_lived ? static_cast<uint32_t>(one_in) : 0);
}

}  // namespace sonde::life
