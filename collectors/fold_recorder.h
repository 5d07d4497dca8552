// SPDX-License-Identifier: Apache-2.0
// The recent past: a ring of steps, each what was counted in about `step_ns`. A sink of the folder
// that is always there. Not thread-safe: agent thread only. Memory: below `max_bytes`: the oldest
// steps go first, so under many distinct stacks the past becomes shorter; Collect says what it
// really has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"

namespace sonde {

struct RecorderOptions {
  uint64_t step_ns = 10'000'000'000;
  size_t steps = 90;  // 15 minutes
  size_t max_bytes = 2 << 20;
};

class Recorder : public FoldSink {
 public:
  explicit Recorder(uint64_t now_ns, const RecorderOptions& options = {});

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override;

  // Whole steps only: every step of which a part lies in [from_ns, to_ns). from_ns and to_ns of the
  // result are the window that it really covers; both 0 when there is nothing of it.
  [[nodiscard]] FoldProfile Collect(uint64_t from_ns, uint64_t to_ns) const;
  size_t memory_bytes() const;
  size_t steps() const { return ring_.size(); }

 private:
  struct Step {
    Step(InternedStacks* stacks, uint64_t now_ns)
        : start_ns(now_ns), end_ns(now_ns), counts(stacks) {}
    uint64_t start_ns;
    uint64_t end_ns;
    FoldCounts counts;
  };

  bool MakeRoom(size_t bytes);

  RecorderOptions options_;
  mutable InternedStacks stacks_;           // Collect adds references for as long as it runs
  std::deque<std::unique_ptr<Step>> ring_;  // oldest first; the last one is being filled
  size_t closed_bytes_ = 0;                 // of all steps but the last
};

}  // namespace sonde
