// SPDX-License-Identifier: Apache-2.0
#include "collectors/past.h"

#include <algorithm>

#include "collectors/fold_codec.h"
#include "collectors/safe/region_ring.h"

namespace sonde {
namespace {

// Steps follow each other without a gap while the recorder lives; a shorter one is nobody's
// concern.
constexpr uint64_t kShortestGapNs = 1'000'000'000;

class PastReader : private StepVisitor {
 public:
  PastReader(const Region& region, uint64_t from_ns, uint64_t to_ns, size_t max_bytes,
             std::span<const uint64_t> cuts)
      : region_(region),
        from_ns_(from_ns),
        to_ns_(to_ns),
        max_bytes_(max_bytes),
        cuts_(cuts),
        bytes_(MaxStepBytes(region)) {}

  Past Read() {
    RingCursor cursor = OldestStep(region_);
    past_.is_overwritten = cursor.at != 0;
    RingStep step;
    for (;;) {
      const RingRead read = ReadStep(region_, &cursor, &step, bytes_.data());
      if (read == RingRead::kEnd) break;
      if (read == RingRead::kStep) Add(step);
      past_.damaged += read == RingRead::kDamaged;
    }
    // A recorder that was killed while it closed the step left it in both places.
    if (ReadOpenStep(region_, &step, bytes_.data()) && step.start_ns > last_start_ns_) Add(step);
    EndPiece();
    return std::move(past_);
  }

 private:
  void Add(const RingStep& step) {
    if (step.end_ns <= step.start_ns || step.start_ns < last_end_ns_) {
      ++past_.damaged;
      return;
    }
    last_start_ns_ = step.start_ns;
    last_end_ns_ = step.end_ns;
    if (past_.oldest_ns == 0) past_.oldest_ns = step.start_ns;
    if (step.start_ns >= to_ns_ || step.end_ns <= from_ns_) return;
    BeginPieceAt(step.start_ns);
    StepFacts facts;
    if (!DecodeStep({bytes_.data(), step.bytes}, &facts, this)) ++past_.damaged;
    AddFacts(step, facts);
  }

  void BeginPieceAt(uint64_t start_ns) {
    const auto cut = std::ranges::upper_bound(cuts_, start_ns);
    const bool is_new = past_.pieces.empty() || cut != cut_;
    cut_ = cut;
    if (!is_new) return;
    EndPiece();
    past_.pieces.emplace_back().from_ns = start_ns;
  }

  void EndPiece() {
    if (past_.pieces.empty()) return;
    counts_.AppendTo(&past_.pieces.back());
    done_bytes_ += counts_.memory_bytes() + counts_.stack_bytes();
    counts_.Clear();
  }

  void AddFacts(const RingStep& step, const StepFacts& facts) {
    if (window_end_ns_ != 0) AddGap({window_end_ns_, step.start_ns, GapReason::kAgentAway});
    window_end_ns_ = past_.pieces.back().to_ns = step.end_ns;
    const uint64_t covered_ns = std::min(facts.covered_ns, step.end_ns - step.start_ns);
    past_.covered_ns += covered_ns;
    past_.rate_hz = std::max(past_.rate_hz, facts.rate_hz);
    // A step does not say where in it the gap was: most often at its end.
    AddGap({step.start_ns + covered_ns, step.end_ns, facts.gap});
  }

  void AddGap(const Gap& gap) {
    if (gap.to_ns - gap.from_ns < kShortestGapNs) return;
    std::vector<Gap>& gaps = past_.gaps;
    if (!gaps.empty() && gaps.back().to_ns == gap.from_ns && gaps.back().reason == gap.reason) {
      gaps.back().to_ns = gap.to_ns;
    } else {
      gaps.push_back(gap);
    }
  }

  void OnSample(const FoldDelta& delta) override {
    if (MakeRoom(FoldCounts::BytesFor(delta)) && counts_.TryAdd(delta)) return;
    counts_.Lose(delta.kind, DropReason::kReaderFull, delta.events, delta.amount);
  }

  // What is heavy stays. Twice: the half that is left may hold the deep stacks.
  bool MakeRoom(size_t bytes) {
    for (int i = 0; i < 2 && memory_bytes() + bytes > max_bytes_; ++i) counts_.ShedLightHalf();
    return memory_bytes() + bytes <= max_bytes_;
  }

  size_t memory_bytes() const {
    return done_bytes_ + stacks_.memory_bytes() + counts_.memory_bytes();
  }

  void OnLoss(const FoldLoss& loss) override {
    counts_.Lose(loss.kind, loss.reason, loss.events, loss.amount);
  }

  const Region& region_;
  const uint64_t from_ns_;
  const uint64_t to_ns_;
  const size_t max_bytes_;
  const std::span<const uint64_t> cuts_;
  std::span<const uint64_t>::iterator cut_;  // the first behind the piece
  std::vector<uint8_t> bytes_;
  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
  Past past_;
  size_t done_bytes_ = 0;  // of pieces that are finished
  uint64_t last_start_ns_ = 0;
  uint64_t last_end_ns_ = 0;
  uint64_t window_end_ns_ = 0;
};

}  // namespace

Past ReadPast(const Region& region, uint64_t from_ns, uint64_t to_ns, size_t max_bytes,
              std::span<const uint64_t> cuts) {
  return PastReader(region, from_ns, to_ns, max_bytes, cuts).Read();
}

}  // namespace sonde
