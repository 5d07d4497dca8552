// SPDX-License-Identifier: Apache-2.0
#include "collectors/heap.h"

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>

#include "collectors/safe/heap_math.h"
#include "collectors/safe/heap_sampler.h"

namespace sonde {
namespace {

bool IsHeapKind(Kind kind) {
  return kind == Kind::kAlloc || kind == Kind::kMmap || kind == Kind::kLive;
}

// Blocks of one stack of one process that are live.
struct LiveKeyOfStack {
  uint32_t process_slot;
  uint32_t stack;
  uint32_t generation;
  Kind kind;
  bool operator<(const LiveKeyOfStack& other) const {
    return std::tie(process_slot, stack, generation, kind) <
           std::tie(other.process_slot, other.stack, other.generation, other.kind);
  }
};
struct LiveSum {
  double objects = 0;
  double bytes = 0;
};

// Of what is not negative; without libm.
int64_t Rounded(double value) {
  const auto whole = static_cast<int64_t>(value);
  return whole + (value - static_cast<double>(whole) >= 0.5 ? 1 : 0);
}

}  // namespace

void HeapCollector::Begin(ProcessId process, uint64_t now_ns) {
  for (uint32_t i = 0; i < region_.counts.live; ++i) {
    uint32_t owner = 0;
    StackId stack;
    uint64_t word = 0;
    if (LiveOwner(region_, i, &owner, &stack, &word) && owner == process.slot) {
      ForgetLive(region_, i, word);
    }
  }
  since_ns_ = now_ns;
  since_ticks_ = LiveTicks(region_, now_ns);
  totals_.Clear();
  allocated_ = {};
  losses_.clear();
  live_entries_ = 0;
  peak_ = {};
}

void HeapCollector::OnDelta(const FoldDelta& delta) {
  if (delta.kind != Kind::kAlloc && delta.kind != Kind::kMmap) return;
  grew_ = true;
  if (delta.kind == Kind::kAlloc) {
    allocated_.objects += delta.events;
    allocated_.bytes += delta.amount;
  }
  if (memory_bytes() + FoldCounts::BytesFor(delta) > kMaxTotalsBytes) totals_.ShedLightHalf();
  totals_.Add(delta);
}

void HeapCollector::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  if (!IsHeapKind(kind)) return;
  const auto known = std::ranges::find_if(
      losses_, [&](const FoldLoss& loss) { return loss.kind == kind && loss.reason == reason; });
  if (known == losses_.end()) {
    losses_.push_back({kind, reason, events, amount});
  } else {
    known->events += events;
    known->amount += amount;
  }
}

// What only shrinks is no new peak, so most folds of an idle service look at nothing.
void HeapCollector::OnFoldEnd(uint64_t now_ns) {
  if (!grew_) return;
  grew_ = false;
  double bytes = 0;
  uint64_t entries = 0;
  for (LiveSlots slots = NextLiveGroup(region_, 0); slots.first < slots.last;
       slots = NextLiveGroup(region_, slots.last)) {
    for (uint32_t i = slots.first; i < slots.last; ++i) {
      LiveBlock block;
      uint64_t word = 0;
      if (!ReadLive(region_, i, &block, &word)) continue;
      ++entries;
      if (block.birth < since_ticks_) continue;
      bytes += SampleWeight(block.born_size, block.interval) * static_cast<double>(block.size);
    }
  }
  live_entries_ = entries;
  if (bytes > peak_.bytes * (1 + kPeakStep) || bytes > peak_.bytes + kPeakStepBytes) {
    TakePeak(bytes, now_ns);
  }
}

// The heaviest stacks, as many as fit.
void HeapCollector::TakePeak(double bytes, uint64_t now_ns) {
  HeapPeak peak;
  peak.at_ns = now_ns;
  peak.bytes = bytes;
  AddLive({}, &peak.reading);
  auto& stacks = peak.reading.stacks;
  std::ranges::sort(stacks, std::greater(), &HeapStack::inuse_bytes);
  size_t taken = 0, used_bytes = 0;
  for (; taken < stacks.size(); ++taken) {
    used_bytes += sizeof(HeapStack) + stacks[taken].frames.size() * sizeof(uint64_t);
    if (used_bytes > kMaxPeakBytes) break;
  }
  FoldLoss loss{Kind::kLive, DropReason::kReaderFull, 0, 0};
  for (size_t i = taken; i < stacks.size(); ++i) {
    loss.events += static_cast<uint64_t>(stacks[i].inuse_objects);
    loss.amount += static_cast<uint64_t>(stacks[i].inuse_bytes);
  }
  if (taken < stacks.size()) peak.reading.losses.push_back(loss);
  stacks.resize(taken);
  stacks.shrink_to_fit();
  peak_ = std::move(peak);
}

// The live half first: of a block that is sampled meanwhile the other half then has the allocation.
HeapReading HeapCollector::Read(const LiveFilter& filter) const {
  HeapReading reading;
  AddLive(filter, &reading);
  AddAllocated(&reading);
  reading.losses.insert(reading.losses.end(), losses_.begin(), losses_.end());
  for (const FoldLoss& loss : totals_.Losses()) reading.losses.push_back(loss);
  return reading;
}

void HeapCollector::AddAllocated(HeapReading* reading) const {
  const auto threads = totals_.threads();
  for (const FoldCounts::Entry& entry : totals_.Entries()) {
    HeapStack stack;
    stack.frames.assign(entry.frames.begin(), entry.frames.end());
    stack.flags = entry.flags;
    stack.pid = threads[entry.thread].pid;
    stack.kind = entry.kind;
    stack.alloc_objects = static_cast<int64_t>(entry.events);
    stack.alloc_bytes = static_cast<int64_t>(entry.amount);
    reading->stacks.push_back(std::move(stack));
  }
}

void HeapCollector::AddLive(const LiveFilter& filter, HeapReading* reading) const {
  std::map<LiveKeyOfStack, LiveSum> sums;
  const uint32_t born_from = std::max(filter.born_from, since_ticks_);
  for (uint32_t i = 0; i < region_.counts.live; ++i) {
    LiveBlock block;
    uint64_t word = 0;
    if (!ReadLive(region_, i, &block, &word)) continue;
    if (block.birth < born_from || block.birth > filter.born_until) continue;
    const double weight = SampleWeight(block.born_size, block.interval);
    LiveSum& sum =
        sums[{block.process_slot, block.stack.index, block.stack.generation, block.kind}];
    sum.objects += weight;
    sum.bytes += weight * static_cast<double>(block.size);
    reading->most_interval = std::max(reading->most_interval, block.interval);
    ++(block.kind == Kind::kMmap ? reading->mapping_samples : reading->live_samples);
  }
  uint64_t frames[kMaxDepth];
  for (const auto& [key, sum] : sums) {
    HeapStack stack;
    const uint32_t depth = ReadStack(region_, {key.stack, key.generation}, frames, &stack.flags);
    if (depth == 0) {
      reading->losses.push_back({Kind::kLive, DropReason::kStaleStack,
                                 static_cast<uint64_t>(Rounded(sum.objects)),
                                 static_cast<uint64_t>(Rounded(sum.bytes))});
      continue;
    }
    stack.frames.assign(frames, frames + depth);
    stack.pid = ReadProcess(region_, key.process_slot).pid;
    stack.kind = key.kind;
    stack.inuse_objects = Rounded(sum.objects);
    stack.inuse_bytes = Rounded(sum.bytes);
    reading->stacks.push_back(std::move(stack));
  }
}

HeapCollector::LiveTotals HeapCollector::Live() const {
  LiveTotals totals;
  for (uint32_t i = 0; i < region_.counts.live; ++i) {
    LiveBlock block;
    uint64_t word = 0;
    if (!ReadLive(region_, i, &block, &word) || block.birth < since_ticks_) continue;
    if (block.kind != Kind::kAlloc) continue;
    const double weight = SampleWeight(block.born_size, block.interval);
    ++totals.samples;
    totals.objects += weight;
    totals.bytes += weight * static_cast<double>(block.size);
  }
  return totals;
}

}  // namespace sonde
