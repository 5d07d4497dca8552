// SPDX-License-Identifier: Apache-2.0
#include "collectors/heap.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <tuple>
#include <utility>

#include "collectors/safe/heap_math.h"
#include "collectors/safe/heap_sampler.h"

namespace sonde {
namespace {

bool IsHeapKind(Kind kind) {
  return kind == Kind::kAlloc || kind == Kind::kMmap || kind == Kind::kLive;
}

// A live block, or all of one stack of one process. `key`: who of them are of one stack.
struct LiveSum {
  uint64_t stack = 0;  // index | generation
  uint64_t process_and_kind = 0;
  double objects = 0;
  double bytes = 0;

  LiveSum(const LiveBlock& block, double weight)
      : stack(uint64_t{block.stack.index} << 32 | block.stack.generation),
        process_and_kind(uint64_t{block.process_slot} << 8 | static_cast<uint64_t>(block.kind)),
        objects(weight),
        bytes(weight * static_cast<double>(block.size)) {}
  [[nodiscard]] auto key() const { return std::tie(stack, process_and_kind); }
  [[nodiscard]] StackId id() const {
    return {static_cast<uint32_t>(stack >> 32), static_cast<uint32_t>(stack)};
  }
  [[nodiscard]] uint32_t process_slot() const {
    return static_cast<uint32_t>(process_and_kind >> 8);
  }
  [[nodiscard]] Kind kind() const { return static_cast<Kind>(process_and_kind & 0xff); }
};

// Equal ones become one.
void AddUp(std::vector<LiveSum>* sums) {
  std::ranges::sort(*sums, {}, &LiveSum::key);
  size_t last = 0;
  for (size_t i = 1; i < sums->size(); ++i) {
    LiveSum& to = (*sums)[last];
    const LiveSum& from = (*sums)[i];
    if (from.key() == to.key()) {
      to.objects += from.objects;
      to.bytes += from.bytes;
    } else {
      (*sums)[++last] = from;
    }
  }
  if (!sums->empty()) sums->erase(sums->begin() + static_cast<ptrdiff_t>(last) + 1, sums->end());
}

// As StackTag has it.
uint64_t TagHash(uint64_t hash) { return hash >> 16; }

// Finds those stacks of a reading that were there when it was made: most of what is live was
// allocated, so that the two halves of a profile have most stacks in common.
class StackFinder {
 public:
  explicit StackFinder(std::vector<HeapStack>* stacks)
      : stacks_(*stacks), slots_(std::bit_ceil(2 * stacks->size() + 1)) {
    for (uint32_t i = 0; i < stacks_.size(); ++i) {
      size_t at = PlaceOf(stacks_[i].hash);
      while (slots_[at] != 0) at = PlaceOf(at + 1);
      slots_[at] = i + 1;
    }
  }

  // nullptr: none.
  [[nodiscard]] HeapStack* Find(const FoldCounts::Entry& entry, int32_t pid) const {
    for (size_t at = PlaceOf(TagHash(entry.hash)); slots_[at] != 0; at = PlaceOf(at + 1)) {
      HeapStack& stack = stacks_[slots_[at] - 1];
      if (stack.hash == TagHash(entry.hash) && stack.pid == pid && stack.kind == entry.kind &&
          stack.flags == entry.flags && std::ranges::equal(stack.frames, entry.frames)) {
        return &stack;
      }
    }
    return nullptr;
  }

 private:
  [[nodiscard]] size_t PlaceOf(uint64_t hash) const { return hash & (slots_.size() - 1); }

  std::vector<HeapStack>& stacks_;
  std::vector<uint32_t> slots_;  // index + 1, at most half full
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

template <class Visit>
void HeapCollector::ForEachLive(const Visit& visit) const {
  for (LiveSlots slots = NextLiveGroup(region_, 0); slots.first < slots.last;
       slots = NextLiveGroup(region_, slots.last)) {
    for (uint32_t i = slots.first; i < slots.last; ++i) {
      LiveBlock block;
      uint64_t word = 0;
      if (ReadLive(region_, i, &block, &word)) visit(block);
    }
  }
}

// What only shrinks is no new peak, so most folds of an idle service look at nothing.
void HeapCollector::OnFoldEnd(uint64_t now_ns) {
  if (!grew_) return;
  grew_ = false;
  double bytes = 0;
  uint64_t entries = 0;
  ForEachLive([&](const LiveBlock& block) {
    ++entries;
    if (block.birth < since_ticks_) return;
    bytes += SampleWeight(block.born_size, block.interval) * static_cast<double>(block.size);
  });
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

// After the live half.
void HeapCollector::AddAllocated(HeapReading* reading) const {
  const auto threads = totals_.threads();
  const StackFinder live(&reading->stacks);
  for (const FoldCounts::Entry& entry : totals_.Entries()) {
    const int32_t pid = threads[entry.thread].pid;
    HeapStack* stack = live.Find(entry, pid);
    if (stack == nullptr) {
      stack = &reading->stacks.emplace_back();
      stack->frames.assign(entry.frames.begin(), entry.frames.end());
      stack->hash = TagHash(entry.hash);
      stack->flags = entry.flags;
      stack->pid = pid;
      stack->kind = entry.kind;
    }
    stack->alloc_objects += static_cast<int64_t>(entry.events);
    stack->alloc_bytes += static_cast<int64_t>(entry.amount);
  }
}

void HeapCollector::AddLive(const LiveFilter& filter, HeapReading* reading) const {
  std::vector<LiveSum> sums;
  sums.reserve(live_entries_);
  const uint32_t born_from = std::max(filter.born_from, since_ticks_);
  ForEachLive([&](const LiveBlock& block) {
    if (block.birth < born_from || block.birth > filter.born_until) return;
    sums.emplace_back(block, SampleWeight(block.born_size, block.interval));
    reading->most_interval = std::max(reading->most_interval, block.interval);
    ++(block.kind == Kind::kMmap ? reading->mapping_samples : reading->live_samples);
  });
  AddUp(&sums);
  uint64_t frames[kMaxDepth];
  reading->stacks.reserve(reading->stacks.size() + sums.size());
  for (const LiveSum& sum : sums) {
    HeapStack stack;
    const uint32_t depth = ReadStack(region_, sum.id(), frames, &stack.flags);
    if (depth == 0) {
      reading->losses.push_back({Kind::kLive, DropReason::kStaleStack,
                                 static_cast<uint64_t>(Rounded(sum.objects)),
                                 static_cast<uint64_t>(Rounded(sum.bytes))});
      continue;
    }
    stack.frames.assign(frames, frames + depth);
    stack.hash = ReadStackTag(region_, sum.id().index).hash;
    stack.pid = ReadProcess(region_, sum.process_slot()).pid;
    stack.kind = sum.kind();
    stack.inuse_objects = Rounded(sum.objects);
    stack.inuse_bytes = Rounded(sum.bytes);
    reading->stacks.push_back(std::move(stack));
  }
}

HeapCollector::LiveTotals HeapCollector::Live() const {
  LiveTotals totals;
  ForEachLive([&](const LiveBlock& block) {
    if (block.birth < since_ticks_ || block.kind != Kind::kAlloc) return;
    const double weight = SampleWeight(block.born_size, block.interval);
    ++totals.samples;
    totals.objects += weight;
    totals.bytes += weight * static_cast<double>(block.size);
  });
  return totals;
}

}  // namespace sonde
