// SPDX-License-Identifier: Apache-2.0
// An open reader: everything that was counted while it was a sink of the folder. Any number of them
// overlap, each has its own sums. Not thread-safe: agent thread only. Memory: below `max_bytes`;
// what does not fit is counted as lost.
//
//   Capture capture(now, 4 << 20);
//   folder.AddSink(&capture, now);                                 // begins here
//   …
//   folder.Fold(now); FoldProfile profile = capture.Collect();     // any number of times
//   folder.RemoveSink(&capture, now);
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"

namespace sonde {

class Capture : public FoldSink {
 public:
  Capture(uint64_t opened_ns, size_t max_bytes)
      : opened_ns_(opened_ns), folded_ns_(opened_ns), max_bytes_(max_bytes) {}

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override { folded_ns_ = now_ns; }

  // From the opening to the last fold.
  [[nodiscard]] FoldProfile Collect() const;
  // The same, and goes on with nothing, as if it had been opened at the last fold.
  [[nodiscard]] FoldProfile TakeAll();
  size_t memory_bytes() const { return counts_.memory_bytes() + stacks_.memory_bytes(); }

 private:
  uint64_t opened_ns_;
  uint64_t folded_ns_;
  size_t max_bytes_;
  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
};

}  // namespace sonde
