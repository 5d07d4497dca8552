// SPDX-License-Identifier: Apache-2.0
// The recent past: steps of about `step_ns`, each what was counted in it, kept in the region's ring
// so that they outlive the process (past.h reads them, dead or alive). A sink of the folder that is
// always there. Not thread-safe: agent thread only. Memory: the ring, whose oldest steps go first,
// and at most `open_bytes` for the step that is being filled: when those are used up the lighter
// half of its stacks is given up and counted as lost, so that what is heavy or new stays.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectors/coverage.h"
#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"
#include "collectors/safe/region.h"

namespace sonde {

struct RecorderOptions {
  uint64_t step_ns = 10'000'000'000;
  uint64_t store_ns = 900'000'000;  // how old the open step in the region may become
  size_t open_bytes = 1 << 20;
};

class Recorder : public FoldSink {
 public:
  // Goes on behind what an earlier recorder of this region left. `coverage` outlives it.
  Recorder(const Region& region, const Coverage* coverage, uint64_t now_ns,
           const RecorderOptions& options = {});

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override;

  // The rate that is in force; each step remembers its highest.
  void SetRate(uint32_t rate_hz);
  // The region has everything up to the last fold.
  void Flush();
  // What comes from the next fold on is in another step.
  void CloseStep();

  // Where the step that is being filled begins.
  uint64_t step_start_ns() const { return start_ns_; }

  size_t memory_bytes() const { return counts_.memory_bytes() + stacks_.memory_bytes(); }

 private:
  void AdoptOpenStep();
  bool MakeRoom(size_t bytes);
  [[nodiscard]] StepFacts Facts() const;
  void Store(bool finished);

  const Region region_;
  const Coverage* const coverage_;
  const RecorderOptions options_;
  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
  uint64_t start_ns_;
  uint64_t end_ns_;
  uint64_t stored_ns_;
  uint32_t rate_hz_ = 0;
  uint32_t step_rate_hz_ = 0;
};

}  // namespace sonde
