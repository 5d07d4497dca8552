// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_creators.h"

#include <algorithm>

#include "agent/life/hook_switch.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/thread_origins.h"
#include "collectors/task_files.h"

namespace sonde::life {
namespace {

constexpr size_t kMaxChildren = 256;      // whose threads are counted
constexpr uint64_t kSweepsPerWindow = 8;  // of the leak detector
constexpr uint64_t kMinSweepNs = 1'000'000'000;
constexpr uint64_t kMaxSweepNs = 10'000'000'000;

// Made once a process image and never destroyed.
constinit ThreadCreators* g_creators = nullptr;

}  // namespace

LiveCreators::~LiveCreators() {
  if (reading_) cpu_->RemoveReader(g_creators);
}

void LiveCreators::Configure(const char* why_off) {
  why_off_ = why_off;
  if (why_off == nullptr && !reading_) SwitchOn();
  // A child that took the tree over counts what its parent wanted.
  if (why_off != nullptr && (reading_ || HookCounts(HookUse::kThreads))) SwitchOff();
}

void LiveCreators::SwitchOn() {
  if (g_creators == nullptr) g_creators = new ThreadCreators;
  cpu_->AddReader(g_creators, 0);
  reading_ = true;
  if (SwitchHookUse(HookUse::kThreads, true)) return;
  SwitchOff();
  why_off_ = "this kernel is older than 4.14 and cannot hide the tables from a child";
}

void LiveCreators::SwitchOff() {
  static_cast<void>(SwitchHookUse(HookUse::kThreads, false));
  if (reading_) cpu_->RemoveReader(g_creators);
  reading_ = false;
  live_.clear();
  leaks_->Stop(MonotonicNs());
}

// Who is gone frees its entry; what is left is what lives.
std::vector<ThreadOrigin> LiveCreators::Sweep() {
  std::vector<ThreadOrigin> origins;
  live_.clear();
  for (uint32_t slot = 0; slot < ThreadOrigins::kSlots; ++slot) {
    ThreadOrigin origin;
    if (!SweepThreadOrigin(TreeThreadOrigins(), slot, &origin)) continue;
    live_[{origin.pid, origin.stack}] += origin.weight;
    origins.push_back(origin);
  }
  g_creators->SetLive(live_);
  return origins;
}

void LiveCreators::Tick(uint64_t leak_after_ns, uint64_t now_ns) {
  if (!reading_ || now_ns < next_sweep_ns_) return;
  next_sweep_ns_ = now_ns + std::clamp(leak_after_ns / kSweepsPerWindow, kMinSweepNs, kMaxSweepNs);
  leaks_->Look(Sweep(), *g_creators, leak_after_ns, now_ns);
}

// Threads that live and are in no entry, of this process and of its children.
void LiveCreators::AddUnknown(CreatorsSnapshot* out) const {
  std::map<int, int64_t> known;
  for (const auto& [key, count] : live_) known[key.first] += static_cast<int64_t>(count);
  const Region& region = TreeRegion();
  const uint32_t slots = std::min<uint32_t>(UsedProcessSlots(region), kMaxChildren);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.state != SlotState::kLive) continue;
    const auto all = static_cast<int64_t>(TaskFiles(process.pid).Tids().size());
    const int64_t own = process.pid == g_self.pid ? 2 : 1;  // its first one, and the agent's
    const int64_t unknown = all - own - known[process.pid];
    if (unknown > 0) out->samples.push_back({{}, process.pid, 0, unknown});
  }
}

bool LiveCreators::Read(CreatorsSnapshot* out, std::string* error) {
  if (!reading_) {
    *error = std::string("the stacks that make threads are not looked after: ") + why_off_;
    return false;
  }
  cpu_->FoldNow();
  static_cast<void>(Sweep());
  for (const auto& [key, creator] : g_creators->all()) {
    out->samples.push_back({creator.frames, key.first, static_cast<int64_t>(creator.made),
                            static_cast<int64_t>(creator.live)});
  }
  for (auto& [key, count] : live_) {  // of stacks that were given up
    if (g_creators->Find(key.first, key.second) == nullptr) count = 0;
  }
  AddUnknown(out);
  for (const auto& [reason, threads] : g_creators->lost()) {
    out->lost.push_back({DropReasonName(reason), threads});
  }
  if (const uint64_t lost = TreeThreadOrigins()->lost.Load(); lost != 0) {
    out->lost.push_back({"thread_origins_full", lost});
  }
  return true;
}

CreatorsTotals LiveCreators::Totals() {
  CreatorsTotals totals;
  totals.on = reading_;
  if (g_creators == nullptr) return totals;
  totals.made = g_creators->made();
  for (const auto& [reason, threads] : g_creators->lost()) totals.lost += threads;
  return totals;
}

std::vector<uint64_t> LiveCreators::CreatorOf(int tid) {
  if (!reading_) return {};
  const uint64_t hash = FindThreadOrigin(TreeThreadOrigins(), g_self.pid, tid);
  const ThreadCreator* creator = hash != 0 ? g_creators->Find(g_self.pid, hash) : nullptr;
  return creator != nullptr ? creator->frames : std::vector<uint64_t>{};
}

void LiveCreatorsAfterFork() { g_creators = nullptr; }

}  // namespace sonde::life
