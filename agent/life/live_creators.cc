// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_creators.h"

#include <algorithm>
#include <utility>

#include "agent/endpoints/text_util.h"
#include "agent/life/hook_switch.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/host_threads.h"
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

std::string Number(uint64_t value) { return std::to_string(value); }

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
  creator_of_.clear();
  for (const std::string& id : std::exchange(findings_, {})) store_->End(id, MonotonicNs());
}

// Who is gone frees its entry; what is left is what lives.
void LiveCreators::Sweep() {
  live_.clear();
  creator_of_.clear();
  for (uint32_t slot = 0; slot < ThreadOrigins::kSlots; ++slot) {
    ThreadOrigin origin;
    if (!SweepThreadOrigin(TreeThreadOrigins(), slot, &origin)) continue;
    live_[{origin.pid, origin.stack}] += origin.weight;
    if (origin.pid == g_self.pid) creator_of_[origin.tid] = origin.stack;
  }
  g_creators->SetLive(live_);
}

void LiveCreators::Tick(uint64_t leak_after_ns, uint64_t now_ns) {
  if (!reading_ || now_ns < next_sweep_ns_) return;
  next_sweep_ns_ = now_ns + std::clamp(leak_after_ns / kSweepsPerWindow, kMinSweepNs, kMaxSweepNs);
  leak_after_ns_ = leak_after_ns;
  Sweep();
  LookForLeaks(now_ns);
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
  Sweep();
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

void LiveCreators::PutLeak(const ThreadLeak& leak, uint64_t now_ns, std::set<std::string>* seen) {
  const ThreadCreator* creator = g_creators->Find(g_self.pid, leak.creator);
  if (creator == nullptr) return;
  Finding finding;
  finding.id = MakeFindingId(FindingKind::kThreadLeak, Number(leak.creator));
  finding.kind = FindingKind::kThreadLeak;
  finding.pid = g_self.pid;
  finding.since_ns = leak.since_ns;
  const uint64_t window_ns = now_ns - leak.since_ns;
  finding.sentence = "threads are made at one place and never end: " + Number(leak.live) +
                     " live, " + Number(leak.entered) + " more in the last " +
                     DurationText(static_cast<double>(window_ns) / 1e9) + ", " + Number(leak.idle) +
                     " of them without CPU time";
  finding.facts = {
      {"live", Number(leak.live)},       {"idle", Number(leak.idle)},
      {"entered", Number(leak.entered)}, {"ended", Number(leak.left)},
      {"made", Number(creator->made)},   {"tid", Number(static_cast<uint64_t>(leak.idle_tid))}};
  // A return address less 1 lies in its call: a creator's stack has no pc in front.
  std::vector<uint64_t> frames = creator->frames;
  if (!frames.empty()) --frames[0];
  finding.stacks.push_back({"where they are made", -1, std::move(frames), ""});
  ThreadRecord record;
  record.tid = leak.idle_tid;
  threads_->KnowCode();
  if (threads_->Reader().ReadWaiting(&record) && !record.frames.empty()) {
    finding.stacks.push_back({"where one of them waits", -1, record.frames, ""});
  }
  finding.next = "sonde threadcreate TARGET   |   sonde threads TARGET";
  seen->insert(finding.id);
  store_->Put(std::move(finding));
}

void LiveCreators::LookForLeaks(uint64_t now_ns) {
  leaks_.Configure({leak_after_ns_});
  std::vector<ThreadSeen> threads;
  for (const auto& [tid, creator] : creator_of_) {
    ThreadSeen seen{tid, creator, 0};
    if (tid != agent_tid_ && ThreadCpuTime(tid, &seen.cpu_ns)) threads.push_back(seen);
  }
  std::set<std::string> seen;
  for (const ThreadLeak& leak : leaks_.Observe(now_ns, threads)) PutLeak(leak, now_ns, &seen);
  for (const std::string& id : findings_) {
    if (!seen.contains(id)) store_->End(id, now_ns);
  }
  findings_ = std::move(seen);
}

void LiveCreatorsAfterFork() { g_creators = nullptr; }

}  // namespace sonde::life
