// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_counts.h"

#include <algorithm>
#include <new>

namespace sonde {
namespace {

// Of nodes of the two hash tables, their buckets and the malloc header.
constexpr size_t kSumBytes = 64;
constexpr size_t kThreadBytes = sizeof(FoldThread) + 48;

uint64_t IdentityOf(const FoldThread& thread) {
  return uint64_t{thread.generation} << 32 | thread.slot;
}

}  // namespace

size_t GroupOf(Kind kind) {
  switch (kind) {
    case Kind::kAlloc:
    case Kind::kMmap:
    case Kind::kLive:
      return 1;
    case Kind::kThread:
      return 2;
    case Kind::kUnlock:
      return 3;
    case Kind::kWaitMutex:
    case Kind::kWaitReadWrite:
    case Kind::kWaitCondition:
    case Kind::kWaitSemaphore:
    case Kind::kWaitJoin:
      return 4;
    case Kind::kOffCpu:
      return 5;
    default:
      return 0;
  }
}

size_t FairShare(const size_t (&sizes)[kKindGroups], size_t kept) {
  size_t share = 0;
  for (size_t left = kept;;) {
    const auto more = static_cast<size_t>(
        std::ranges::count_if(sizes, [share](size_t size) { return size > share; }));
    if (more == 0 || left < more) return share;
    // As far as the next group that has no more, or as what is left goes.
    size_t step = left / more;
    for (const size_t size : sizes) {
      if (size > share) step = std::min(step, size - share);
    }
    share += step;
    left -= step * more;
  }
}

size_t FoldCounts::BytesFor(const FoldDelta& delta) {
  return kSumBytes + kThreadBytes + InternedStacks::BytesFor(delta.frames.size());
}

size_t FoldCounts::memory_bytes() const {
  return sizeof *this + sums_.size() * kSumBytes + threads_.size() * kThreadBytes;
}

uint32_t FoldCounts::ThreadIndex(const FoldThread& thread) {
  const auto known = thread_index_.find(IdentityOf(thread));
  if (known != thread_index_.end()) {
    threads_[known->second] = thread;  // a thread goes by its latest name
    return known->second;
  }
  const auto index = static_cast<uint32_t>(threads_.size());
  threads_.push_back(thread);
  try {
    thread_index_.emplace(IdentityOf(thread), index);
  } catch (const std::bad_alloc&) {
    threads_.pop_back();
    throw;
  }
  return index;
}

// Takes over one reference to the stack, also when there is no memory.
void FoldCounts::AddSum(uint32_t stack, const FoldThread& thread, Kind kind, Sum sum) try {
  const auto [found, fresh] = sums_.try_emplace(Key{stack, ThreadIndex(thread), kind});
  if (fresh) {
    stack_bytes_ += InternedStacks::BytesFor(stacks_->frames(stack).size());
  } else {
    stacks_->Release(stack);  // the key holds one already
  }
  found->second.events += sum.events;
  found->second.amount += sum.amount;
} catch (const std::bad_alloc&) {
  stacks_->Release(stack);
  throw;
}

uint32_t FoldCounts::Add(const FoldDelta& delta) {
  const uint32_t stack = stacks_->Intern(delta.frames, delta.flags, delta.hash);
  AddSum(stack, delta.thread, delta.kind, {delta.events, delta.amount});
  return stack;
}

bool FoldCounts::TryAdd(const FoldDelta& delta) {
  try {
    Add(delta);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void FoldCounts::AddAll(const FoldCounts& other) {
  for (const auto& [key, sum] : other.sums_) {
    stacks_->Retain(key.stack);
    AddSum(key.stack, other.threads_[key.thread], key.kind, sum);
  }
  for (const auto& [what, sum] : other.losses_) {
    Lose(what.first, what.second, sum.events, sum.amount);
  }
}

void FoldCounts::Lose(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  Sum& sum = losses_[{kind, reason}];
  sum.events += events;
  sum.amount += amount;
}

// A stack that comes again after it was given up is counted anew; the weight of it that went is in
// the losses, so nothing is counted twice.
void FoldCounts::ShedLightHalf() {
  if (sums_.empty()) return;
  std::vector<decltype(sums_)::const_iterator> order;
  order.reserve(sums_.size());
  size_t sizes[kKindGroups] = {};
  for (auto i = sums_.cbegin(); i != sums_.cend(); ++i) {
    order.push_back(i);
    ++sizes[GroupOf(i->first.kind)];
  }
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    const size_t group_a = GroupOf(a->first.kind);
    const size_t group_b = GroupOf(b->first.kind);
    return group_a != group_b ? group_a < group_b : a->second.amount > b->second.amount;
  });
  const size_t share = FairShare(sizes, sums_.size() / 2);
  size_t kept[kKindGroups] = {};
  for (const auto& i : order) {
    if (kept[GroupOf(i->first.kind)]++ >= share) GiveUp(i);
  }
  DropUnusedThreads();
}

void FoldCounts::GiveUp(std::unordered_map<Key, Sum, KeyHash>::const_iterator entry) {
  const auto& [key, sum] = *entry;
  Lose(key.kind, DropReason::kReaderFull, sum.events, sum.amount);
  stack_bytes_ -= InternedStacks::BytesFor(stacks_->frames(key.stack).size());
  stacks_->Release(key.stack);
  sums_.erase(entry);
}

// Of threads that came and went only the names are left by then. Renaming the keys costs a pass
// over all of them, so it is done where it pays.
void FoldCounts::DropUnusedThreads() {
  constexpr uint32_t kUnused = UINT32_MAX;
  std::vector<uint32_t> places(threads_.size(), kUnused);
  uint32_t used = 0;
  for (const auto& [key, sum] : sums_) {
    if (places[key.thread] == kUnused) places[key.thread] = used++;
  }
  if (used > threads_.size() / 2) return;
  std::vector<FoldThread> threads(used);
  thread_index_.clear();
  for (uint32_t i = 0; i < places.size(); ++i) {
    if (places[i] == kUnused) continue;
    threads[places[i]] = threads_[i];
    thread_index_.emplace(IdentityOf(threads_[i]), places[i]);
  }
  threads_ = std::move(threads);
  std::unordered_map<Key, Sum, KeyHash> sums;
  while (!sums_.empty()) {
    auto node = sums_.extract(sums_.begin());
    node.key().thread = places[node.key().thread];
    sums.insert(std::move(node));
  }
  sums_ = std::move(sums);
}

FoldCounts::Entry FoldCounts::EntryOf(const Key& key, const Sum& sum) const {
  return {stacks_->frames(key.stack),
          key.stack,
          stacks_->hash(key.stack),
          stacks_->flags(key.stack),
          key.thread,
          key.kind,
          sum.events,
          sum.amount};
}

std::vector<FoldCounts::Entry> FoldCounts::Entries() const {
  std::vector<Entry> entries;
  entries.reserve(sums_.size());
  ForEach([&](const Entry& entry) { entries.push_back(entry); });
  return entries;
}

std::vector<FoldLoss> FoldCounts::Losses() const {
  std::vector<FoldLoss> losses;
  for (const auto& [what, sum] : losses_) {
    losses.push_back({what.first, what.second, sum.events, sum.amount});
  }
  return losses;
}

void FoldCounts::Clear() {
  for (const auto& [key, sum] : sums_) stacks_->Release(key.stack);
  sums_.clear();
  stack_bytes_ = 0;
  threads_.clear();
  thread_index_.clear();
  losses_.clear();
}

void FoldCounts::AppendTo(FoldProfile* profile) const {
  profile->samples.reserve(profile->samples.size() + sums_.size());
  for (const auto& [key, sum] : sums_) {
    const auto frames = stacks_->frames(key.stack);
    profile->samples.push_back({{frames.begin(), frames.end()},
                                stacks_->flags(key.stack),
                                threads_[key.thread],
                                key.kind,
                                sum.events,
                                sum.amount});
  }
  for (const auto& [what, sum] : losses_) {
    profile->losses.push_back({what.first, what.second, sum.events, sum.amount});
  }
}

}  // namespace sonde
