// SPDX-License-Identifier: Apache-2.0
#include "agent/life/yield.h"

#include <time.h>

#include "agent/life/agent_thread.h"
#include "agent/life/crash_guard.h"
#include "agent/life/errno_saver.h"
#include "agent/life/host_signal.h"
#include "agent/life/self.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/sys.h"

namespace sonde::life {

constinit std::atomic<int> g_our_port{0};
constinit std::atomic<bool> g_yield_port{false};

void YieldPort() {
  if (!OwnsState() || OnAgentThread()) return;
  g_yield_port.store(true, std::memory_order_release);
  WakeAgentThread();
  for (int i = 0; i < 1000 && g_our_port.load(std::memory_order_acquire) != 0; ++i) {
    const timespec pause{0, 200'000};
    sys::Call(SYS_nanosleep, &pause, 0L);
  }
}

bool PauseThread() {
  if (g_phase.load(std::memory_order_acquire) != Phase::kActive || !OwnsState()) return false;
  return StopAgentThread();
}

void ResumeThread() {
  const ErrnoSaver saver;  // the host's call is over: its errno is what the host reads
  if (!StartAgentThread()) GoDormant(DormantReason::kNoThread);
}

void GoDormant(DormantReason reason) {
  const Phase before = g_phase.load(std::memory_order_acquire);
  if (before == Phase::kInert || before == Phase::kDormant || !OwnsState()) return;
  g_trigger_wanted.store(false, std::memory_order_relaxed);
  SetCollecting(false);
  StopAllTimers(reason == DormantReason::kSeccomp ? StopReason::kSeccomp : StopReason::kOff);
  StopAgentThread();
  ReleaseSignal();
  RetireCrashGuard();
  g_phase.store(Phase::kDormant, std::memory_order_release);
}

}  // namespace sonde::life
