// SPDX-License-Identifier: Apache-2.0
#include "agent/life/fork_hold.h"

#include <time.h>

#include <atomic>

#include "agent/life/errno_saver.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

extern "C" {
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso_handle);
extern void* __dso_handle __attribute__((visibility("hidden")));
}

namespace sonde::life {
namespace {

constexpr long kStepNs = 200'000;
// What the handlers of a fork that had begun before ours was registered may take.
constexpr long kGraceNs = 50'000'000;
constexpr long kPauseNs = 5'000'000;
constexpr int kTries = 20;

// All sequentially consistent: who forks counts itself first and looks for the hold second, who
// holds does so first and looks at the counts second, so one of the two sees the other.
constinit std::atomic<uint64_t> g_hold_until_ns{0};
constinit std::atomic<int> g_forks{0};   // begun and not over, by the handler that was always there
constinit std::atomic<int> g_passed{0};  // the same, by the late one
constinit std::atomic<bool> g_registered{false};

void Sleep(long ns) {
  const timespec pause{0, ns};
  sys::Call(SYS_nanosleep, &pause, 0L);
}

bool IsHeld() {
  const uint64_t until = g_hold_until_ns.load();
  return until != 0 && MonotonicNs() < until;
}

void WaitWhileHeld() {
  const ErrnoSaver saver;
  for (;; Sleep(kStepNs)) {
    g_passed.fetch_add(1);
    if (!IsHeld()) return;
    g_passed.fetch_sub(1);
  }
}

void PassedIsOver() { g_passed.fetch_sub(1); }

}  // namespace

ForkHold::ForkHold() {
  if (!g_registered.exchange(true)) {
    __register_atfork(WaitWhileHeld, PassedIsOver, nullptr, &__dso_handle);
    Sleep(kGraceNs);
  }
  for (int i = 0; i < kTries && !held_; ++i) {
    if (i > 0) Sleep(kPauseNs);
    g_hold_until_ns.store(MonotonicNs() + kHoldNs);
    held_ = g_forks.load() == 0 && g_passed.load() == 0;
    if (!held_) g_hold_until_ns.store(0);
  }
}

ForkHold::~ForkHold() { g_hold_until_ns.store(0); }

void ForkBegins() { g_forks.fetch_add(1); }

void ForkIsOver() { g_forks.fetch_sub(1); }

void ForkHoldInChild() {
  g_hold_until_ns.store(0);
  g_forks.store(0);
  g_passed.store(0);
}

}  // namespace sonde::life
