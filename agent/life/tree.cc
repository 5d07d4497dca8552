// SPDX-License-Identifier: Apache-2.0
#include "agent/life/tree.h"

#include <sys/mman.h>

#include <atomic>

#include "agent/life/process_end.h"
#include "collectors/fold.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

// Beside the region, shared by the tree.
struct TreeWords {
  std::atomic<uint64_t> period_ns;
  std::atomic<uint32_t> timers;
  std::atomic<uint32_t> timer_limit;
  std::atomic<uint32_t> timers_of[kMaxProcesses];
};

constinit Region g_region{};
constinit RegionOrigin g_origin{};
constinit TreeWords* g_words = nullptr;
constinit ProcessId g_process{};

bool MapWords() {
  const long at = sys::Call(SYS_mmap, 0L, sizeof(TreeWords), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1L, 0L);
  if (sys::Failed(at)) return false;
  g_words = reinterpret_cast<TreeWords*>(at);
  g_words->timer_limit.store(kMaxTimers, std::memory_order_relaxed);
  return true;
}

void UseBudget() {
  if (!g_process.valid) return;
  SetTimerBudget({&g_words->timers, &g_words->timers_of[g_process.slot],
                  g_words->timer_limit.load(std::memory_order_relaxed)});
}

void TakeProcessSlot(ProcessId parent) {
  const int pid = sys::Getpid();
  g_process = ClaimProcess(g_region, pid, StartTicksOf(pid), parent, MonotonicNs());
  UseBudget();
}

}  // namespace

const Region& TreeRegion() { return g_region; }

bool CreateTree(uint64_t bytes, const char* dir) {
  if (g_region.header != nullptr) return true;
  const RegionOptions options{bytes, dir};
  if (!MapWords() || !CreateRegion(options, &g_region, &g_origin)) return false;
  TakeProcessSlot(ProcessId{});
  return g_process.valid && TakeColdSide(g_region, 0, g_process);
}

const char* TreeNote() { return g_origin.error.c_str(); }

void JoinTree() { TakeProcessSlot(g_process); }

ProcessId TreeProcess() { return g_process; }

ThreadId ClaimTreeThread(int tid) {
  if (!g_process.valid) return {};
  return ClaimThread(g_region, g_process, tid, MonotonicNs());
}

bool TreeOwnerIsGone() {
  const uint64_t owner = g_region.header->cold_owner.Load();
  if (owner == 0) return true;
  const ProcessInfo process = ReadProcess(g_region, static_cast<uint32_t>(owner - 1));
  return ProcessHasEnded(process.pid, process.start_ticks);
}

bool AdoptTree() {
  const auto dead = static_cast<uint32_t>(g_region.header->cold_owner.Load());
  return g_process.valid && TakeColdSide(g_region, dead, g_process);
}

std::atomic<uint64_t>& TreePeriodNs() { return g_words->period_ns; }

void SetTreeTimerLimit(uint32_t limit) {
  g_words->timer_limit.store(limit, std::memory_order_relaxed);
  UseBudget();
}

uint32_t TreeTimerLimit() { return g_words->timer_limit.load(std::memory_order_relaxed); }

void ForgetTreeTimersOf(uint32_t process_slot) {
  const uint32_t left = g_words->timers_of[process_slot].exchange(0, std::memory_order_relaxed);
  g_words->timers.fetch_sub(left, std::memory_order_relaxed);
}

}  // namespace sonde::life
