// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_recorder.h"

namespace sonde {

Recorder::Recorder(uint64_t now_ns, const RecorderOptions& options) : options_(options) {
  ring_.push_back(std::make_unique<Step>(&stacks_, now_ns));
}

size_t Recorder::memory_bytes() const {
  return closed_bytes_ + ring_.back()->counts.memory_bytes() + stacks_.memory_bytes();
}

// The step that is being filled stays.
bool Recorder::MakeRoom(size_t bytes) {
  while (memory_bytes() + bytes > options_.max_bytes && ring_.size() > 1) {
    closed_bytes_ -= ring_.front()->counts.memory_bytes();
    ring_.pop_front();
  }
  return memory_bytes() + bytes <= options_.max_bytes;
}

void Recorder::OnDelta(const FoldDelta& delta) {
  FoldCounts& counts = ring_.back()->counts;
  if (MakeRoom(FoldCounts::BytesFor(delta))) {
    counts.Add(delta);
  } else {
    counts.Lose(delta.kind, DropReason::kReaderFull, delta.events, delta.amount);
  }
}

void Recorder::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  ring_.back()->counts.Lose(kind, reason, events, amount);
}

void Recorder::OnFoldEnd(uint64_t now_ns) {
  Step& current = *ring_.back();
  current.end_ns = now_ns;
  if (now_ns - current.start_ns < options_.step_ns) return;
  closed_bytes_ += current.counts.memory_bytes();
  ring_.push_back(std::make_unique<Step>(&stacks_, now_ns));
  while (ring_.size() > options_.steps) {
    closed_bytes_ -= ring_.front()->counts.memory_bytes();
    ring_.pop_front();
  }
}

FoldProfile Recorder::Collect(uint64_t from_ns, uint64_t to_ns) const {
  FoldProfile profile;
  FoldCounts sum(&stacks_);
  for (const auto& step : ring_) {
    const bool overlaps = step->start_ns < to_ns && step->end_ns > from_ns;
    if (!overlaps || step->start_ns == step->end_ns) continue;
    if (profile.to_ns == 0) profile.from_ns = step->start_ns;
    profile.to_ns = step->end_ns;
    sum.AddAll(step->counts);
  }
  sum.AppendTo(&profile);
  return profile;
}

}  // namespace sonde
