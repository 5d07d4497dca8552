// SPDX-License-Identifier: Apache-2.0
#include "agent/life/yield.h"

#include <time.h>

#include "agent/life/agent_thread.h"
#include "agent/life/crash_guard.h"
#include "agent/life/errno_saver.h"
#include "agent/life/host_signal.h"
#include "agent/life/live_heap.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"

namespace sonde::life {

constinit std::atomic<int> g_our_port{0};
constinit std::atomic<bool> g_yield_port{false};

namespace {
constinit std::atomic<bool> g_pause_held{false};
constinit uint32_t g_pauses = 0;  // guarded by g_pause_held
}  // namespace

namespace {

template <typename Done>
void WaitFor(Done done, int steps) {
  for (int i = 0; i < steps && !done(); ++i) {
    const timespec pause{0, 200'000};
    sys::Call(SYS_nanosleep, &pause, 0L);
  }
}

}  // namespace

void YieldPort() {
  if (!OwnsState() || OnAgentThread()) return;
  const ErrnoSaver saver;
  if (g_self.role ==
      Role::kChild) {  // the parent's agent has it; its ticks come twice a second at least
    WaitFor([] { return AskForTreePort(); }, 5000);
    return g_our_port.store(0, std::memory_order_release);
  }
  g_yield_port.store(true, std::memory_order_release);
  WakeAgentThread();
  WaitFor([] { return g_our_port.load(std::memory_order_acquire) == 0; }, 5000);
}

namespace {

// Held for milliseconds, so waiters sleep; always with every signal blocked, so that no handler of
// the host can wait for its own thread.
class PauseLock {
 public:
  PauseLock() {
    while (g_pause_held.exchange(true, std::memory_order_acquire)) {
      const timespec step{0, 200'000};
      sys::Call(SYS_nanosleep, &step, 0L);
    }
  }
  ~PauseLock() { g_pause_held.store(false, std::memory_order_release); }
  PauseLock(const PauseLock&) = delete;
  PauseLock& operator=(const PauseLock&) = delete;

 private:
  SignalBlock block_;
};

void GoDormantLocked(DormantReason reason) {
  g_trigger_wanted.store(false, std::memory_order_relaxed);
  g_phase.store(Phase::kDormant, std::memory_order_release);
  SetCollecting(false);
  StopHeap();
  StopAllTimers(reason == DormantReason::kSeccomp ? StopReason::kSeccomp : StopReason::kOff);
  StopAgentThread();
  ReleaseSignal();
  RetireCrashGuard();
}

bool MayPause() {
  return g_phase.load(std::memory_order_acquire) == Phase::kActive && g_self.role == Role::kRoot &&
         OwnsState() && !OnAgentThread();
}

}  // namespace

ThreadPause::ThreadPause(bool wanted) {
  if (!wanted || !MayPause()) return;
  const ErrnoSaver saver;
  const PauseLock lock;
  if (g_phase.load(std::memory_order_acquire) != Phase::kActive) return;
  paused_ = true;
  if (g_pauses++ == 0 && !StopAgentThread()) GoDormantLocked(DormantReason::kNoThread);
}

ThreadPause::~ThreadPause() {
  if (!paused_) return;
  const ErrnoSaver saver;  // the host's call is over: its errno is what the host reads
  const PauseLock lock;
  if (--g_pauses != 0 || g_phase.load(std::memory_order_acquire) != Phase::kActive) return;
  if (!StartAgentThread()) GoDormantLocked(DormantReason::kNoThread);
}

void GoDormant(DormantReason reason) {
  const Phase before = g_phase.load(std::memory_order_acquire);
  if (before == Phase::kInert || before == Phase::kDormant || !OwnsState()) return;
  const ErrnoSaver saver;
  const PauseLock lock;
  GoDormantLocked(reason);
}

void StandDown() {
  const ErrnoSaver saver;
  const PauseLock lock;
  GoDormantLocked(DormantReason::kSeccomp);
}

void PausesAfterFork() {
  g_pause_held.store(false, std::memory_order_relaxed);
  g_pauses = 0;
}

}  // namespace sonde::life
