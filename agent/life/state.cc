// SPDX-License-Identifier: Apache-2.0
#include "agent/life/state.h"

#include <sys/mman.h>
#include <time.h>

#include "agent/life/self.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr int kWipeOnFork = 18;  // MADV_WIPEONFORK, Linux 4.14
constinit Gate g_shut{};

}  // namespace

constinit std::atomic<Phase> g_phase{Phase::kInert};
constinit std::atomic<bool> g_trigger_wanted{false};
constinit std::atomic<Gate*> g_gate{&g_shut};
constinit Self g_self{};

uint64_t CoarseNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

bool OwnsState() { return g_self.pid == sys::Getpid(); }

bool MapGate() {
  if (g_gate.load(std::memory_order_relaxed) != &g_shut) return true;
  const long page = sys::Call(SYS_mmap, 0L, sizeof(Gate), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
  if (sys::Failed(page)) return false;
  // Without the wipe (an old kernel) a raw clone child would sample into the parent's tables: stay
  // off.
  if (sys::Failed(sys::Call(SYS_madvise, page, 4096L, kWipeOnFork))) {
    sys::Call(SYS_munmap, page, sizeof(Gate));
    return false;
  }
  g_gate.store(reinterpret_cast<Gate*>(page), std::memory_order_release);
  return true;
}

void SetCollecting(bool on) {
  Gate* gate = g_gate.load(std::memory_order_relaxed);
  if (gate == &g_shut) return;
  gate->pid.store(g_self.pid, std::memory_order_relaxed);
  gate->on.store(on ? 1 : 0, std::memory_order_release);
}

}  // namespace sonde::life
