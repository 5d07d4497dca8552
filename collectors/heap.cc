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

// Of what is not negative; without libm.
int64_t Rounded(double value) {
  const auto whole = static_cast<int64_t>(value);
  return whole + (value - static_cast<double>(whole) >= 0.5 ? 1 : 0);
}

// Whether a block at `index` is left when it is thinned to `interval`.
bool StaysAt(const Region& region, uint32_t index, uint32_t interval) {
  LiveBlock block;
  uint64_t word = 0;
  if (!ReadLive(region, index, &block, &word)) return false;
  while (block.interval <= interval / 2) {
    const Thinned thinned = ThinLive(region, index, &block);
    if (thinned == Thinned::kNot) return true;  // next time
    if (thinned == Thinned::kStays) continue;
    ForgetThinned(block);
    return false;
  }
  return true;
}

// Where things that lie in a vector of somebody else's are, by a key of 64 bits. At most half full.
class HashedPlaces {
 public:
  explicit HashedPlaces(size_t most) : slots_(std::bit_ceil(2 * most + 1)) {}

  // The first place for which `is(place)` among those entered with this key, plus 1; or 0, which
  // the caller may overwrite with a place plus 1.
  template <class Is>
  uint32_t& Find(uint64_t key, const Is& is) {
    const uint64_t mixed = key * 0x9e3779b97f4a7c15;
    size_t at = (mixed ^ mixed >> 32) & (slots_.size() - 1);
    while (slots_[at] != 0 && !is(slots_[at] - 1)) at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }

 private:
  std::vector<uint32_t> slots_;
};

// What is live on the stacks of a reading that something was allocated on, which is nearly all of
// it: such a stack is found by what the region calls it, without a look at its frames.
class LiveOfStacks {
 public:
  // `names`: of each of `stacks`.
  LiveOfStacks(const std::vector<HeapStack>& stacks, const std::vector<StackId>& names)
      : places_(names.size()) {
    sums_.reserve(names.size());
    for (uint32_t i = 0; i < names.size(); ++i) {
      sums_.push_back({names[i], stacks[i].pid, stacks[i].kind});
      if (names[i] == kNoStack) continue;
      places_.Find(names[i].index, [](uint32_t) { return false; }) = i + 1;
    }
  }

  // False: it is on none of them.
  bool Add(const LiveBlock& block, int32_t pid, double weight) {
    const uint32_t place = places_.Find(block.stack.index, [&](uint32_t at) {
      const Sum& sum = sums_[at];
      return sum.name == block.stack && sum.pid == pid && sum.kind == block.kind;
    });
    if (place == 0) return false;
    sums_[place - 1].objects += weight;
    sums_[place - 1].bytes += weight * static_cast<double>(block.size);
    return true;
  }

  // `stacks`: as they were given.
  void TellTo(std::vector<HeapStack>* stacks) const {
    for (size_t i = 0; i < sums_.size(); ++i) {
      (*stacks)[i].inuse_objects = Rounded(sums_[i].objects);
      (*stacks)[i].inuse_bytes = Rounded(sums_[i].bytes);
    }
  }

 private:
  struct Sum {  // in one piece: blocks come in no order
    StackId name;
    int32_t pid;
    Kind kind;
    double objects = 0;
    double bytes = 0;
  };
  std::vector<Sum> sums_;
  HashedPlaces places_;
};

// The pids of processes, whose blocks come in no order but are mostly of one.
class PidOfSlot {
 public:
  explicit PidOfSlot(const Region& region) : region_(region) {}
  int32_t operator()(uint32_t slot) {
    if (slot != slot_) pid_ = ReadProcess(region_, slot).pid;
    slot_ = slot;
    return pid_;
  }

 private:
  const Region& region_;
  uint32_t slot_ = UINT32_MAX;
  int32_t pid_ = 0;
};

}  // namespace

// A live block, or all of one stack of one process. `key`: who of them are of one stack.
struct HeapCollector::LiveSum {
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

  // Equal ones become one.
  static void AddUp(std::vector<LiveSum>* sums) {
    HashedPlaces places(sums->size());
    uint32_t count = 0;
    for (const LiveSum& from : *sums) {
      uint32_t& place = places.Find(from.stack ^ from.process_and_kind << 16,
                                    [&](uint32_t at) { return (*sums)[at].key() == from.key(); });
      if (place == 0) {
        (*sums)[count] = from;
        place = ++count;
        continue;
      }
      (*sums)[place - 1].objects += from.objects;
      (*sums)[place - 1].bytes += from.bytes;
    }
    sums->erase(sums->begin() + count, sums->end());
  }
};

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
  names_.clear();
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
  if (memory_bytes() + FoldCounts::BytesFor(delta) > max_totals_bytes_) totals_.ShedLightHalf();
  LearnName(totals_.Add(delta), delta.stack);
}

// Throws std::bad_alloc.
void HeapCollector::LearnName(uint32_t stack, StackId name) {
  if (stack >= names_.size()) names_.resize(stack + 1, kNoStack);
  names_[stack] = name;
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
      if (IsFreeLiveKey(region_.live_keys[i].Load())) continue;  // most are
      LiveBlock block;
      uint64_t word = 0;
      if (ReadLive(region_, i, &block, &word)) visit(block);
    }
  }
}

void HeapCollector::ThinLiveTo(uint32_t interval) {
  live_entries_ = 0;
  for (LiveSlots slots = NextLiveGroup(region_, 0); slots.first < slots.last;
       slots = NextLiveGroup(region_, slots.last)) {
    for (uint32_t i = slots.first; i < slots.last; ++i)
      live_entries_ += StaysAt(region_, i, interval);
  }
}

// What only shrinks is no new peak, so most folds of an idle service look at nothing.
void HeapCollector::OnFoldEnd(uint64_t now_ns) {
  if (now_ns - names_since_ns_ > kNameTrustedNs) {
    names_.clear();
    names_since_ns_ = now_ns;
  }
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
  AddLive({}, AddAllocated(&peak.reading), &peak.reading);  // so frames are shared
  auto& stacks = peak.reading.stacks;
  std::erase_if(stacks, [](const HeapStack& stack) {
    return stack.inuse_objects == 0 && stack.inuse_bytes == 0;
  });
  for (HeapStack& stack : stacks) stack.alloc_objects = stack.alloc_bytes = 0;
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

HeapReading HeapCollector::Read(const LiveFilter& filter) const {
  HeapReading reading;
  AddLive(filter, AddAllocated(&reading), &reading);
  reading.losses.insert(reading.losses.end(), losses_.begin(), losses_.end());
  for (const FoldLoss& loss : totals_.Losses()) reading.losses.push_back(loss);
  return reading;
}

// Returns what the region calls them.
std::vector<StackId> HeapCollector::AddAllocated(HeapReading* reading) const {
  const auto threads = totals_.threads();
  std::vector<StackId> names;
  names.reserve(totals_.size());
  reading->stacks.reserve(totals_.size());
  totals_.ForEach([&](const FoldCounts::Entry& entry) {
    HeapStack& stack = reading->stacks.emplace_back();
    stack.frames = stacks_.Share(entry.stack);
    stack.flags = entry.flags;
    stack.pid = threads[entry.thread].pid;
    stack.kind = entry.kind;
    stack.alloc_objects = static_cast<int64_t>(entry.events);
    stack.alloc_bytes = static_cast<int64_t>(entry.amount);
    names.push_back(entry.stack < names_.size() ? names_[entry.stack] : kNoStack);
  });
  return names;
}

// `names`: of the stacks that the reading has.
void HeapCollector::AddLive(const LiveFilter& filter, const std::vector<StackId>& names,
                            HeapReading* reading) const {
  LiveOfStacks known(reading->stacks, names);
  PidOfSlot pid_of(region_);
  std::vector<LiveSum> others;
  double bytes = 0, bytes_by_interval = 0;
  const uint32_t born_from = std::max(filter.born_from, since_ticks_);
  ForEachLive([&](const LiveBlock& block) {
    if (block.birth < born_from || block.birth > filter.born_until) return;
    const double weight = SampleWeight(block.born_size, block.interval);
    if (!known.Add(block, pid_of(block.process_slot), weight)) others.emplace_back(block, weight);
    const double stands_for = weight * static_cast<double>(block.size);
    bytes += stands_for;
    bytes_by_interval += stands_for * block.interval;
    ++(block.kind == Kind::kMmap ? reading->mapping_samples : reading->live_samples);
  });
  if (bytes > 0) reading->mean_interval = static_cast<uint32_t>(bytes_by_interval / bytes);
  known.TellTo(&reading->stacks);
  LiveSum::AddUp(&others);
  for (const LiveSum& sum : others) AddOther(sum, reading);
}

// Of a stack that the sums of what was allocated do not have, or not by this name.
void HeapCollector::AddOther(const LiveSum& sum, HeapReading* reading) const {
  uint64_t frames[kMaxDepth];
  HeapStack stack;
  const uint32_t depth = ReadStack(region_, sum.id(), frames, &stack.flags);
  const int64_t objects = Rounded(sum.objects), bytes = Rounded(sum.bytes);
  if (depth == 0) {
    reading->losses.push_back({Kind::kLive, DropReason::kStaleStack, static_cast<uint64_t>(objects),
                               static_cast<uint64_t>(bytes)});
    return;
  }
  stack.frames = SharedFrames({frames, depth});
  stack.pid = ReadProcess(region_, sum.process_slot()).pid;
  stack.kind = sum.kind();
  stack.inuse_objects = objects;
  stack.inuse_bytes = bytes;
  reading->stacks.push_back(std::move(stack));
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
