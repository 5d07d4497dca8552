// SPDX-License-Identifier: Apache-2.0
// From load to active (traps 1–3). Load itself reads the environment and one link; everything else
// waits.
#include <atomic>

#include "agent/life/address_space.h"
#include "agent/life/agent_thread.h"
#include "agent/life/errno_saver.h"
#include "agent/life/foreign_filter.h"
#include "agent/life/fork.h"
#include "agent/life/handler_frames.h"
#include "agent/life/off_line.h"
#include "agent/life/run_dir.h"
#include "agent/life/self.h"
#include "agent/life/threads.h"
#include "agent/life/tree.h"
#include "agent/life/yield.h"
#include "collectors/safe/sys.h"

// Of agent/hooks: looks up what hooks call on, while that is still possible.
extern "C" __attribute__((visibility("hidden"))) void SondeResolveHooks();

namespace sonde::life {
namespace {

constexpr uint64_t kAgeOfServiceNs = 1'000'000'000;
constexpr uint64_t kCheckEveryNs = 500'000'000;

bool MayStartNow() {
  switch (g_self.start) {
    case Start::kNever:
      return false;
    case Start::kAtLoad:
    case Start::kAtTrigger:
      return true;
    case Start::kAtTriggerThreads:
      return HostMadeThreads() && CoarseNs() - g_self.load_ns >= kAgeOfServiceNs;
  }
  return false;
}

// Why the agent must not even begin here; null when it may.
const char* WhyNot() {
  if (UnderForeignFilter())
    return "the process was started under a seccomp filter, which may kill it for a call of ours";
  if (!HasAddressSpace()) return "RLIMIT_AS or RLIMIT_DATA leaves too little";
  return nullptr;
}

enum class Started { kYes, kNo, kNotNow };

Started StartEverything() {
  const char* why = WhyNot();
  if (why != nullptr) {
    SayOff(why);
    return Started::kNo;
  }
  if (g_self.start != Start::kAtLoad && MayBeInHandler()) return Started::kNotNow;
  g_self.role = Role::kRoot;
  SondeResolveHooks();
  const Settings& settings = g_self.environment.settings;
  const bool started =
      MapGate() && CreateTree(static_cast<uint64_t>(settings.region_bytes), settings.dir.data) &&
      StartAgentThread();
  if (!started) SayOff("no memory for its tables, or no thread");
  return started ? Started::kYes : Started::kNo;
}

// At most so often: what does not help now may help later.
bool IsDueAgain() {
  const uint64_t now = CoarseNs();
  if (now - g_self.last_check_ns < kCheckEveryNs) return false;
  g_self.last_check_ns = now;
  return true;
}

// One thread does it; others go on meanwhile.
void Activate() {
  Phase expected = Phase::kWaiting;
  if (!IsDueAgain() || !g_phase.compare_exchange_strong(expected, Phase::kActivating)) return;
  const Started started = StartEverything();
  Phase activating = Phase::kActivating;
  if (started == Started::kNotNow) {
    g_phase.compare_exchange_strong(activating, Phase::kWaiting);
    return;
  }
  g_trigger_wanted.store(false, std::memory_order_relaxed);
  if (started == Started::kNo) return g_phase.store(Phase::kDormant, std::memory_order_release);
  // Meanwhile another thread may have made us dormant (seccomp).
  if (!g_phase.compare_exchange_strong(activating, Phase::kActive)) StandDown();
}

// A forked child whose agent is gone (the parent daemonised it and ended) takes the tree over.
void ConsiderTakingOver() {
  if (!IsDueAgain()) return;
  static constinit std::atomic<bool> under_way{false};
  if (under_way.exchange(true, std::memory_order_acquire)) return;
  if (OwnsState() && AgentIsGone() && !MayBeInHandler()) TakeOver();
  under_way.store(false, std::memory_order_release);
}

}  // namespace

void OnTrigger() {
  const ErrnoSaver saver;
  const Phase phase = g_phase.load(std::memory_order_acquire);
  if (phase == Phase::kActive && g_self.role == Role::kChild) return ConsiderTakingOver();
  if (phase == Phase::kWaiting && MayStartNow() && OwnsState()) Activate();
}

namespace {

__attribute__((constructor)) void OnLoad(int, char**, char** environment) {
  ParseEnvironment(environment, &g_self.environment);
  if (!g_self.environment.settings.enable) return;
  g_self.start = DecideStart(g_self.environment.settings.target.data);
  if (g_self.start == Start::kNever) return;
  RememberEnvironment(environment);
  g_self.main_frames_end = reinterpret_cast<uint64_t>(environment);
  g_self.pid = sys::Getpid();
  g_self.load_ns = CoarseNs();
  NoteMainThread();
  RegisterForkHandler();
  g_trigger_wanted.store(true, std::memory_order_relaxed);
  g_phase.store(Phase::kWaiting, std::memory_order_release);
  if (g_self.start != Start::kAtLoad) return;
  LoadBegins();
  OnTrigger();
  LoadEnds();
}

}  // namespace
}  // namespace sonde::life
