// SPDX-License-Identifier: Apache-2.0
#include "collectors/contention.h"

#include <utility>

namespace sonde {

void Contention::Begin(uint64_t now_ns) {
  since_ns_ = now_ns;
  counts_.Clear();
  for (Sum& sum : sums_) sum = {};
}

void Contention::OnDelta(const FoldDelta& delta) {
  if (!IsContention(delta.kind)) return;
  Sum& sum = sums_[static_cast<size_t>(delta.kind)];
  sum.contentions += delta.events;
  sum.delay_ns += delta.amount;
  const size_t bytes = counts_.memory_bytes() + stacks_.memory_bytes();
  if (bytes + FoldCounts::BytesFor(delta) > kMaxBytes) counts_.ShedLightHalf();
  counts_.Add(delta);
}

void Contention::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  if (IsContention(kind)) counts_.Lose(kind, reason, events, amount);
}

std::vector<ContentionStack> Contention::Stacks() const {
  std::vector<ContentionStack> stacks;
  const auto threads = counts_.threads();
  for (const FoldCounts::Entry& entry : counts_.Entries()) {
    ContentionStack stack;
    stack.frames.assign(entry.frames.begin(), entry.frames.end());
    stack.pid = threads[entry.thread].pid;
    stack.kind = entry.kind;
    stack.contentions = entry.events;
    stack.delay_ns = entry.amount;
    stacks.push_back(std::move(stack));
  }
  return stacks;
}

std::vector<FoldLoss> Contention::Losses() const { return counts_.Losses(); }

}  // namespace sonde
