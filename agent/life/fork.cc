// SPDX-License-Identifier: Apache-2.0
#include "agent/life/fork.h"

#include <time.h>

#include "agent/life/agent.h"
#include "agent/life/agent_thread.h"
#include "agent/life/crash_guard.h"
#include "agent/life/errno_saver.h"
#include "agent/life/fork_hold.h"
#include "agent/life/hook_switch.h"
#include "agent/life/host_signal.h"
#include "agent/life/live_heap.h"
#include "agent/life/self.h"
#include "agent/life/self_timer.h"
#include "agent/life/threads.h"
#include "agent/life/tree.h"
#include "agent/life/yield.h"
#include "agent/runtime/arena.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/sys.h"

extern "C" {
// What pthread_atfork comes down to; it needs no libpthread before glibc 2.34 and no
// libc_nonshared.a after.
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso_handle);
extern void* __dso_handle __attribute__((visibility("hidden")));
}

namespace sonde::life {
namespace {

constexpr int kReadyPatienceSteps = 500;
constexpr long kReadyStepNs = 200'000;

// A child lives with what its parent had at the fork: without unwind tables, a signal and a rate it
// would never be sampled. A service that forks its workers right after it was started waits here,
// once, for the agent to be ready.
void BeforeFork() {
  ForkBegins();
  if (g_phase.load(std::memory_order_acquire) != Phase::kActive || AgentIsReady()) return;
  if (g_self.role != Role::kRoot || OnAgentThread()) return;
  const ErrnoSaver saver;
  for (int i = 0; i < kReadyPatienceSteps && !AgentIsReady(); ++i) {
    const timespec pause{0, kReadyStepNs};
    sys::Call(SYS_nanosleep, &pause, 0L);
  }
}

// Nothing that other threads of the parent held or were doing exists here.
void ForgetOtherThreads() {
  AgentThreadAfterFork();
  AgentAfterFork();
  HostSignalAfterFork();
  PausesAfterFork();
  TimersAfterFork();
  CpuHandlerAfterFork();
  CrashGuardAfterFork();
  runtime::ArenaAfterForkInChild();
  g_yield_port.store(false, std::memory_order_relaxed);
}

void ChildOfActive() {
  g_self.role = Role::kChild;
  g_self.last_check_ns = CoarseNs();
  if (!JoinTree()) return g_phase.store(Phase::kInert, std::memory_order_release);
  JoinCpuUnwindTables(TreeProcess().slot, g_self.pid);
  SetCollecting(true);
  HeapInChild();
  HooksInChild();
  SetSelfArming(1);  // no sweep looks for them here
  ArmSelf();
  g_trigger_wanted.store(true, std::memory_order_relaxed);
}

void InChild() {
  ForkHoldInChild();
  const Phase phase = g_phase.load(std::memory_order_acquire);
  if (phase == Phase::kInert || phase == Phase::kDormant) return;
  const ErrnoSaver saver;
  g_self.pid = sys::Getpid();
  NoteMainThread();  // whichever thread forked
  ForgetHostThreads();
  ForgetOtherThreads();
  if (phase == Phase::kActive) return ChildOfActive();
  if (phase != Phase::kActivating) return;
  // The parent was in the middle of it, and half of it is here: this child does without.
  g_trigger_wanted.store(false, std::memory_order_relaxed);
  g_phase.store(Phase::kInert, std::memory_order_release);
}

}  // namespace

void RegisterForkHandler() { __register_atfork(BeforeFork, ForkIsOver, InChild, &__dso_handle); }

bool AgentIsGone() { return TreeOwnerIsGone(); }

void TakeOver() {
  if (!AdoptTree()) return;
  g_self.role = Role::kRoot;
  g_self.took_over = true;
  g_trigger_wanted.store(false, std::memory_order_relaxed);
  SetSelfArming(0);
  if (!StartAgentThread()) g_phase.store(Phase::kDormant, std::memory_order_release);
}

}  // namespace sonde::life
