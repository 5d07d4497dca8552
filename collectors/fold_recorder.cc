// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold_recorder.h"

#include <algorithm>
#include <vector>

#include "collectors/fold_codec.h"
#include "collectors/safe/region_ring.h"

namespace sonde {

Recorder::Recorder(const Region& region, const Coverage* coverage, uint64_t now_ns,
                   const RecorderOptions& options)
    : region_(region),
      coverage_(coverage),
      options_(options),
      start_ns_(now_ns),
      end_ns_(now_ns),
      stored_ns_(now_ns) {
  AdoptOpenStep();
}

// Of a recorder that is gone. If it was killed between closing the step and emptying the copy, the
// step is in the ring already.
void Recorder::AdoptOpenStep() {
  std::vector<uint8_t> open(MaxStepBytes(region_));
  RingStep step;
  if (!ReadOpenStep(region_, &step, open.data())) return;
  std::vector<uint8_t> bytes(MaxStepBytes(region_));
  RingCursor cursor = OldestStep(region_);
  RingStep closed;
  bool is_closed = false;
  for (RingRead read; (read = ReadStep(region_, &cursor, &closed, bytes.data())) != RingRead::kEnd;)
    is_closed |= read == RingRead::kStep && closed.start_ns == step.start_ns;
  if (!is_closed) AppendStep(region_, step, open.data());
  StoreOpenStep(region_, {}, nullptr);
}

// Twice: the half that is left may hold the deep stacks.
bool Recorder::MakeRoom(size_t bytes) {
  for (int i = 0; i < 2 && memory_bytes() + bytes > options_.open_bytes; ++i) {
    counts_.ShedLightHalf();
  }
  return memory_bytes() + bytes <= options_.open_bytes;
}

void Recorder::OnDelta(const FoldDelta& delta) {
  if (MakeRoom(FoldCounts::BytesFor(delta)) && counts_.TryAdd(delta)) return;
  counts_.Lose(delta.kind, DropReason::kReaderFull, delta.events, delta.amount);
}

void Recorder::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) {
  counts_.Lose(kind, reason, events, amount);
}

void Recorder::OnFoldEnd(uint64_t now_ns) {
  end_ns_ = now_ns;
  if (now_ns - start_ns_ >= options_.step_ns) return CloseStep();
  if (now_ns - stored_ns_ >= options_.store_ns) Flush();
}

void Recorder::SetRate(uint32_t rate_hz) {
  rate_hz_ = rate_hz;
  step_rate_hz_ = std::max(step_rate_hz_, rate_hz);
}

StepFacts Recorder::Facts() const {
  StepFacts facts;
  const std::vector<Gap> gaps = coverage_->GapsIn(start_ns_, end_ns_);
  facts.covered_ns = end_ns_ - start_ns_ - TotalNs(gaps);
  facts.rate_hz = step_rate_hz_;
  if (!gaps.empty()) facts.gap = gaps.back().reason;
  return facts;
}

void Recorder::Store(bool finished) {
  const std::vector<uint8_t> bytes = EncodeStep(counts_, Facts(), MaxStepBytes(region_));
  const RingStep step{start_ns_, end_ns_, static_cast<uint32_t>(bytes.size())};
  if (finished) {
    AppendStep(region_, step, bytes.data());
    StoreOpenStep(region_, {}, nullptr);
  } else {
    StoreOpenStep(region_, step, bytes.data());
  }
  stored_ns_ = end_ns_;
}

void Recorder::Flush() {
  if (end_ns_ > stored_ns_) Store(false);
}

void Recorder::CloseStep() {
  if (end_ns_ == start_ns_) return;
  Store(true);
  counts_.Clear();
  start_ns_ = end_ns_;
  step_rate_hz_ = rate_hz_;
}

}  // namespace sonde
