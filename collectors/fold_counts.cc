// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_counts.h"

#include <algorithm>

namespace sonde {
namespace {

// Of nodes of the two hash tables, their buckets and the malloc header.
constexpr size_t kSumBytes = 64;
constexpr size_t kThreadBytes = sizeof(FoldThread) + 48;

}  // namespace

size_t FoldCounts::BytesFor(const FoldDelta& delta) {
  return kSumBytes + kThreadBytes + InternedStacks::BytesFor(delta.frames.size());
}

size_t FoldCounts::memory_bytes() const {
  return sizeof *this + sums_.size() * kSumBytes + threads_.size() * kThreadBytes;
}

uint32_t FoldCounts::ThreadIndex(const FoldThread& thread) {
  const uint64_t identity = uint64_t{thread.generation} << 32 | thread.slot;
  const auto [found, fresh] =
      thread_index_.try_emplace(identity, static_cast<uint32_t>(threads_.size()));
  if (fresh) {
    threads_.push_back(thread);
  } else {
    threads_[found->second] = thread;  // a thread goes by its latest name
  }
  return found->second;
}

void FoldCounts::AddSum(uint32_t stack, const FoldThread& thread, Kind kind, Sum sum) {
  const auto [found, fresh] = sums_.try_emplace(Key{stack, ThreadIndex(thread), kind});
  if (!fresh) stacks_->Release(stack);  // the key holds one already
  found->second.events += sum.events;
  found->second.amount += sum.amount;
}

void FoldCounts::Add(const FoldDelta& delta) {
  const uint32_t stack = stacks_->Intern(delta.frames, delta.flags, delta.hash);
  AddSum(stack, delta.thread, delta.kind, {delta.events, delta.amount});
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
  std::vector<uint64_t> weights;
  weights.reserve(sums_.size());
  for (const auto& [key, sum] : sums_) weights.push_back(sum.amount);
  const auto middle = weights.begin() + static_cast<ptrdiff_t>(weights.size() / 2);
  std::nth_element(weights.begin(), middle, weights.end());
  size_t left = weights.size() / 2 + 1;
  for (auto i = sums_.begin(); i != sums_.end();) {
    if (left == 0 || i->second.amount > *middle) {
      ++i;
      continue;
    }
    --left;
    Lose(i->first.kind, DropReason::kReaderFull, i->second.events, i->second.amount);
    stacks_->Release(i->first.stack);
    i = sums_.erase(i);
  }
}

std::vector<FoldCounts::Entry> FoldCounts::Entries() const {
  std::vector<Entry> entries;
  entries.reserve(sums_.size());
  for (const auto& [key, sum] : sums_) {
    entries.push_back({stacks_->frames(key.stack), stacks_->flags(key.stack), key.thread, key.kind,
                       sum.events, sum.amount});
  }
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
