// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_stacks.h"

#include <algorithm>
#include <functional>

namespace sonde {
namespace {

constexpr uint64_t kBusyPart = 20;  // of a core, one twentieth
constexpr uint64_t kSlackNs = 600'000'000;

}  // namespace

std::vector<uint64_t> HotStacks::ByFunction(int pid, const std::vector<uint64_t>& frames) const {
  std::vector<uint64_t> functions;
  functions.reserve(frames.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    const uint64_t pc = frames[i] - (i == 0 ? 0 : 1);
    const uint64_t start = start_of_ ? start_of_(pid, pc) : 0;
    functions.push_back(start != 0 ? start : pc);
  }
  return functions;
}

// Each goes by the heaviest of its stacks.
std::vector<StackShare> HotStacks::MergeByFunction(int pid, const Sums& sums) const {
  const auto heavier = [](const StackShare& a, const StackShare& b) { return a.cpu_ns > b.cpu_ns; };
  std::vector<StackShare> all;
  for (const auto& [frames, ns] : sums.stacks) all.push_back({frames, ns});
  std::ranges::stable_sort(all, heavier);
  std::map<std::vector<uint64_t>, size_t> places;
  std::vector<StackShare> merged;
  for (StackShare& share : all) {
    const auto [place, is_new] = places.try_emplace(ByFunction(pid, share.frames), merged.size());
    if (!is_new) {
      merged[place->second].cpu_ns += share.cpu_ns;
      continue;
    }
    merged.push_back(std::move(share));
  }
  std::ranges::stable_sort(merged, heavier);
  return merged;
}

void HotStacks::MakeRoom(int pid, Sums* sums) const {
  std::vector<StackShare> merged = MergeByFunction(pid, *sums);
  sums->stacks.clear();
  for (size_t i = 0; i < merged.size(); ++i) {
    StackShare& share = merged[i];
    if (i >= kMaxStacks / 2) {
      sums->functions.Add(ByFunction(pid, share.frames), share.cpu_ns);
      share.frames.clear();
    }
    sums->stacks[std::move(share.frames)] += share.cpu_ns;
  }
}

// One place is kept for "other".
void HotStacks::AddTo(int pid, Sums* sums, const std::vector<uint64_t>& frames,
                      uint64_t cpu_ns) const {
  if (sums->stacks.size() >= kMaxStacks - 1 && !sums->stacks.contains(frames)) MakeRoom(pid, sums);
  sums->stacks[frames] += cpu_ns;
}

void HotStacks::AddAll(int pid, Sums* sums, const Sums& more) const {
  for (const auto& [frames, ns] : more.stacks) AddTo(pid, sums, frames, ns);
  sums->functions.Add(more.functions);
}

void HotStacks::OnDelta(const FoldDelta& delta) {
  if (delta.kind != Kind::kCpu) return;
  const std::pair<int, int> key{delta.thread.pid, delta.thread.tid};
  // Of one fold, all threads: only at its end is it known which were busy.
  constexpr size_t kMaxOpen = 256;
  if (threads_.size() >= kMaxOpen && !threads_.contains(key)) return;
  Thread& thread = threads_[key];
  AddTo(key.first, &thread.open.sums, {delta.frames.begin(), delta.frames.end()}, delta.amount);
  thread.open_ns += delta.amount;
}

// What a thread must have used to be among the kMaxThreads busiest since the fold before.
uint64_t HotStacks::BusiestButFew() const {
  if (threads_.size() <= kMaxThreads) return 0;
  std::vector<uint64_t> used;
  for (const auto& [key, thread] : threads_) used.push_back(thread.open_ns);
  std::nth_element(used.begin(), used.begin() + kMaxThreads - 1, used.end(), std::greater<>());
  return used[kMaxThreads - 1];
}

void HotStacks::OnFoldEnd(uint64_t now_ns) {
  const uint64_t span_ns = now_ns > folded_ns_ ? now_ns - folded_ns_ : 1;
  size_t kept = 0;
  const uint64_t enough_ns = std::max(span_ns / kBusyPart, BusiestButFew());
  for (auto it = threads_.begin(); it != threads_.end();) {
    Thread& thread = it->second;
    if (!thread.held && (thread.open_ns < enough_ns || kept >= kMaxThreads)) {
      it = threads_.erase(it);
      continue;
    }
    ++kept;
    thread.open.from_ns = folded_ns_;
    thread.open.to_ns = now_ns;
    if (thread.held) AddAll(it->first.first, &thread.held_sums, thread.open.sums);
    thread.buckets.push_back(std::move(thread.open));
    if (thread.buckets.size() > (thread.held ? 1 : kBuckets)) thread.buckets.pop_front();
    thread.open = {};
    thread.open_ns = 0;
    ++it;
  }
  folded_ns_ = now_ns;
}

void HotStacks::Hold(int pid, int tid, uint64_t since_ns) {
  const auto known = threads_.find({pid, tid});
  if (known == threads_.end() || known->second.held) return;
  Thread& thread = known->second;
  thread.held = true;
  for (const Bucket& bucket : thread.buckets) {
    if (bucket.from_ns + kSlackNs < since_ns) continue;
    AddAll(pid, &thread.held_sums, bucket.sums);
  }
}

void HotStacks::Release(int pid, int tid) { threads_.erase({pid, tid}); }

std::vector<StackShare> HotStacks::StacksOf(int pid, int tid) const {
  const auto known = threads_.find({pid, tid});
  if (known == threads_.end()) return {};
  return MergeByFunction(pid, known->second.held_sums);
}

std::vector<FunctionShare> HotStacks::FunctionsOf(int pid, int tid) const {
  const auto known = threads_.find({pid, tid});
  if (known == threads_.end()) return {};
  FunctionSums sums = known->second.held_sums.functions;
  for (const auto& [frames, ns] : known->second.held_sums.stacks) {
    sums.Add(ByFunction(pid, frames), ns);
  }
  return sums.Shares();
}

std::vector<uint64_t> HotStacks::LastStackOf(int pid, int tid) const {
  const auto known = threads_.find({pid, tid});
  if (known == threads_.end() || known->second.buckets.empty()) return {};
  const auto& sums = known->second.buckets.back().sums.stacks;
  const auto most = std::max_element(
      sums.begin(), sums.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == sums.end() ? std::vector<uint64_t>() : most->first;
}

size_t HotStacks::memory_bytes() const {
  size_t bytes = 0;
  const auto add = [&bytes](const Sums& sums) {
    for (const auto& [frames, ns] : sums.stacks) bytes += 64 + frames.size() * sizeof(frames[0]);
    bytes += 64 * sums.functions.size();
  };
  for (const auto& [key, thread] : threads_) {
    add(thread.held_sums);
    add(thread.open.sums);
    for (const Bucket& bucket : thread.buckets) add(bucket.sums);
  }
  return bytes;
}

}  // namespace sonde
