// SPDX-License-Identifier: Apache-2.0
#include "agent/life/self_timer.h"

#include <sys/prctl.h>

#include <atomic>

#include "agent/life/host_signal.h"
#include "agent/life/self.h"
#include "agent/life/state.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constinit std::atomic<bool> g_arm{false};
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

}  // namespace

bool NewThreadsArmThemselves() { return g_arm.load(std::memory_order_relaxed); }

void SetNewThreadsArmThemselves(bool on) { g_arm.store(on, std::memory_order_relaxed); }

void ArmSelf() {
  if (!Collecting()) return;
  const uint64_t period_ns = TreePeriodNs().load(std::memory_order_relaxed);
  if (period_ns == 0) return;
  ReapNowAndThen();
  const int tid = sys::Gettid();
  if (IsForbidden(tid) || TimersHeld() >= TreeTimerLimit()) return;
  const ThreadId thread = ClaimTreeThread(tid);
  if (!thread.valid) return;
  NameThread(thread);
  StartTimer(tid, thread, period_ns, RandomPhase(period_ns),
             g_our_signal.load(std::memory_order_acquire));
}

}  // namespace sonde::life
