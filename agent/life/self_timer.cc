// SPDX-License-Identifier: Apache-2.0
#include "agent/life/self_timer.h"

#include <sys/prctl.h>

#include <atomic>

#include "agent/life/host_signal.h"
#include "agent/life/state.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constinit std::atomic<bool> g_arm{false};

void NameThread(ThreadId id) {
  char name[16] = {};
  sys::Call(SYS_prctl, PR_GET_NAME, name);
  SetThreadName(TreeRegion(), id, name);
}

}  // namespace

bool NewThreadsArmThemselves() { return g_arm.load(std::memory_order_relaxed); }

void SetNewThreadsArmThemselves(bool on) { g_arm.store(on, std::memory_order_relaxed); }

void ArmSelf() {
  if (!Collecting()) return;
  const uint64_t period_ns = TreePeriodNs().load(std::memory_order_relaxed);
  if (period_ns == 0) return;
  const int tid = sys::Gettid();
  const ThreadId thread = ClaimTreeThread(tid);
  if (!thread.valid) return;
  NameThread(thread);
  StartTimer(tid, thread, period_ns, RandomPhase(period_ns),
             g_our_signal.load(std::memory_order_acquire));
}

}  // namespace sonde::life
