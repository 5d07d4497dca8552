// SPDX-License-Identifier: Apache-2.0
#include "agent/life/tree.h"

#include <errno.h>
#include <fcntl.h>
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
  std::atomic<uint64_t> heartbeat_ns;  // of the agent thread's last tick
  std::atomic<uint64_t> pid_namespace;
  std::atomic<int> agent_tid;         // of the owner's agent thread; 0: none that is to be missed
  std::atomic<uint32_t> port;         // that the agent listens on; 0: none
  std::atomic<uint32_t> port_wanted;  // by the host of a child
  std::atomic<uint64_t> period_ns;
  std::atomic<uint64_t> heap_interval;
  std::atomic<uint32_t> hook_uses;
  std::atomic<uint32_t> timers;
  std::atomic<uint32_t> timer_limit;
  std::atomic<uint32_t> timers_of[kMaxProcesses];
  ThreadOrigins origins;
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

// The inode of the pid name space; 0 when it is not to be told.
uint64_t PidNamespace() {
  char link[64];
  const long size = sys::Call(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", link, sizeof link - 1);
  if (sys::Failed(size)) return 0;
  link[size] = 0;
  uint64_t inode = 0;
  for (const char* c = link; *c != 0; ++c) {
    if (*c >= '0' && *c <= '9') inode = inode * 10 + static_cast<uint64_t>(*c - '0');
  }
  return inode;
}

void UseBudget() {
  if (!g_process.valid) return;
  SetTimerBudget({&g_words->timers, &g_words->timers_of[g_process.slot], &g_words->timer_limit});
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
  g_words->pid_namespace.store(PidNamespace(), std::memory_order_relaxed);
  BeatTree(MonotonicNs());
  return g_process.valid && TakeColdSide(g_region, 0, g_process);
}

const char* TreeNote() { return g_origin.error.c_str(); }

// A child in another pid name space is not joined: nobody could tell by its number whether it still
// lives.
bool JoinTree() {
  const ProcessId parent = g_process;
  g_process = ProcessId{};
  if (PidNamespace() != g_words->pid_namespace.load(std::memory_order_relaxed)) return false;
  TakeProcessSlot(parent);
  return g_process.valid;
}

void BeatTree(uint64_t now_ns) { g_words->heartbeat_ns.store(now_ns, std::memory_order_relaxed); }

void SetTreePort(int port) {
  g_words->port.store(static_cast<uint32_t>(port), std::memory_order_release);
}

bool TreePortIsWanted() { return g_words->port_wanted.exchange(0, std::memory_order_acq_rel) != 0; }

bool AskForTreePort() {
  g_words->port_wanted.store(1, std::memory_order_release);
  return g_words->port.load(std::memory_order_acquire) == 0;
}

ProcessId TreeProcess() { return g_process; }

ThreadId ClaimTreeThread(int tid) {
  if (!g_process.valid) return {};
  return ClaimThread(g_region, g_process, tid, MonotonicNs());
}

ThreadId ClaimNewTreeThread(int tid) {
  if (!g_process.valid) return {};
  return ClaimNewThread(g_region, g_process, tid, MonotonicNs());
}

void SetTreeAgent(int tid) {
  if (g_words != nullptr) g_words->agent_tid.store(tid, std::memory_order_release);
}

namespace {

// A process that has executed itself anew is there and is another program: its old threads are not.
bool AgentHasLeft(int pid) {
  const int tid = g_words->agent_tid.load(std::memory_order_acquire);
  return tid != 0 && sys::Call(SYS_tgkill, pid, tid, 0L) == -ESRCH;
}

}  // namespace

bool TreeOwnerIsGone() {
  constexpr uint64_t kSilentNs = 3'000'000'000;
  if (MonotonicNs() - g_words->heartbeat_ns.load(std::memory_order_relaxed) < kSilentNs)
    return false;
  const uint64_t owner = g_region.header->cold_owner.Load();
  if (owner == 0) return true;
  const ProcessInfo process = ReadProcess(g_region, static_cast<uint32_t>(owner - 1));
  return AgentHasLeft(process.pid) || ProcessHasEnded(process.pid, process.start_ticks);
}

bool AdoptTree() {
  const auto dead = static_cast<uint32_t>(g_region.header->cold_owner.Load());
  if (!g_process.valid || dead == g_process.slot + 1) return false;
  return TakeColdSide(g_region, dead, g_process);
}

std::atomic<uint64_t>& TreePeriodNs() { return g_words->period_ns; }

std::atomic<uint64_t>& TreeClockNs() { return g_words->heartbeat_ns; }

std::atomic<uint64_t>& TreeHeapInterval() { return g_words->heap_interval; }

std::atomic<uint32_t>& TreeHookUses() { return g_words->hook_uses; }

ThreadOrigins* TreeThreadOrigins() { return g_words != nullptr ? &g_words->origins : nullptr; }

void SetTreeTimerLimit(uint32_t limit) {
  g_words->timer_limit.store(limit, std::memory_order_relaxed);
}

uint32_t TreeTimers() { return g_words->timers.load(std::memory_order_relaxed); }

uint32_t TreeTimerLimit() { return g_words->timer_limit.load(std::memory_order_relaxed); }

void ForgetTreeTimersOf(uint32_t process_slot) {
  const uint32_t left = g_words->timers_of[process_slot].exchange(0, std::memory_order_relaxed);
  g_words->timers.fetch_sub(left, std::memory_order_relaxed);
}

}  // namespace sonde::life
