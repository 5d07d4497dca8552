// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_capture.h"

#include <algorithm>

namespace sonde {

// What is shared comes free only when the last one gives it up, so there may be several rounds;
// each takes from whoever has most by then.
bool CaptureMemory::MakeRoom(size_t bytes) {
  for (size_t i = 0; i < 2 * captures_.size() && memory_bytes() + bytes > max_bytes_; ++i) {
    (*std::ranges::max_element(captures_, {}, &Capture::memory_bytes))->ShedLightHalf();
  }
  return memory_bytes() + bytes <= max_bytes_;
}

Capture::Capture(uint64_t opened_ns, CaptureMemory* memory) : memory_(memory) {
  pieces_.push_back(std::make_unique<Piece>(opened_ns, &memory_->stacks_));
  memory_->captures_.push_back(this);
  memory_->counts_bytes_ += pieces_.back()->counts.memory_bytes();
}

Capture::Capture(uint64_t opened_ns, size_t max_bytes)
    : own_memory_(std::make_unique<CaptureMemory>(max_bytes)), memory_(own_memory_.get()) {
  pieces_.push_back(std::make_unique<Piece>(opened_ns, &memory_->stacks_));
  memory_->captures_.push_back(this);
  memory_->counts_bytes_ += pieces_.back()->counts.memory_bytes();
}

Capture::~Capture() {
  for (const auto& piece : pieces_) memory_->counts_bytes_ -= piece->counts.memory_bytes();
  std::erase(memory_->captures_, this);
}

template <typename Function>
void Capture::Change(FoldCounts* counts, Function&& change) {
  memory_->counts_bytes_ -= counts->memory_bytes();
  change(counts);
  memory_->counts_bytes_ += counts->memory_bytes();
}

void Capture::OnDelta(const FoldDelta& delta) {
  bool kept = memory_->MakeRoom(FoldCounts::BytesFor(delta));
  if (kept) {
    Change(&pieces_.back()->counts, [&](FoldCounts* counts) { kept = counts->TryAdd(delta); });
  }
  if (!kept) OnLost(delta.kind, DropReason::kReaderFull, delta.events, delta.amount);
}

void Capture::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  pieces_.back()->counts.Lose(kind, reason, events, amount);
}

void Capture::Cut() {
  if (pieces_.size() == kMaxPieces) return;
  pieces_.push_back(std::make_unique<Piece>(pieces_.back()->to_ns, &memory_->stacks_));
  memory_->counts_bytes_ += pieces_.back()->counts.memory_bytes();
}

void Capture::ShedLightHalf() {
  for (const auto& piece : pieces_) {
    Change(&piece->counts, [](FoldCounts* counts) { counts->ShedLightHalf(); });
  }
}

FoldProfile Capture::Collect() const {
  FoldProfile profile;
  profile.from_ns = pieces_.front()->from_ns;
  profile.to_ns = pieces_.back()->to_ns;
  for (const auto& piece : pieces_) piece->counts.AppendTo(&profile);
  return profile;
}

size_t Capture::memory_bytes() const {
  size_t bytes = 0;
  for (const auto& piece : pieces_)
    bytes += piece->counts.memory_bytes() + piece->counts.stack_bytes();
  return bytes;
}

}  // namespace sonde
