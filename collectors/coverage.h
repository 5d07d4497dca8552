// SPDX-License-Identifier: Apache-2.0
// When sampling was on, and why not: what makes a profile's duration honest. Set by the agent's
// composition root, read by captures and the recorder. Not thread-safe: agent thread only. Memory:
// the last kMaxGaps gaps; an interval that is older than those is taken as covered.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "collectors/fold_codec.h"

namespace sonde {

// A part of an interval in which nothing was sampled. CLOCK_MONOTONIC.
struct Gap {
  uint64_t from_ns = 0;
  uint64_t to_ns = 0;
  GapReason reason = GapReason::kNone;
  bool operator==(const Gap&) const = default;
};

class Coverage {
 public:
  static constexpr size_t kMaxGaps = 256;

  explicit Coverage(uint64_t now_ns) : since_ns_(now_ns) {}

  // What is in force from now on; kNone: sampling is on. Call it whenever it may have changed.
  void Set(GapReason reason, uint64_t now_ns);

  // In order, cut to [from_ns, to_ns). Up to the last Set a reason is known, behind it the last one
  // holds on.
  [[nodiscard]] std::vector<Gap> GapsIn(uint64_t from_ns, uint64_t to_ns) const;
  // The interval without its gaps.
  [[nodiscard]] uint64_t CoveredNs(uint64_t from_ns, uint64_t to_ns) const;

 private:
  GapReason reason_ = GapReason::kNone;  // in force since since_ns_
  uint64_t since_ns_;
  std::deque<Gap> past_;
};

uint64_t TotalNs(const std::vector<Gap>& gaps);

}  // namespace sonde
