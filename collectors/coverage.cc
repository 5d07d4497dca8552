// SPDX-License-Identifier: Apache-2.0
#include "collectors/coverage.h"

#include <algorithm>

namespace sonde {

void Coverage::Set(GapReason reason, uint64_t now_ns) {
  if (reason == reason_) return;
  if (reason_ != GapReason::kNone) past_.push_back({since_ns_, now_ns, reason_});
  if (past_.size() > kMaxGaps) past_.pop_front();
  reason_ = reason;
  since_ns_ = now_ns;
}

std::vector<Gap> Coverage::GapsIn(uint64_t from_ns, uint64_t to_ns) const {
  std::vector<Gap> gaps;
  const auto add = [&](Gap gap) {
    gap.from_ns = std::max(gap.from_ns, from_ns);
    gap.to_ns = std::min(gap.to_ns, to_ns);
    if (gap.from_ns < gap.to_ns) gaps.push_back(gap);
  };
  for (const Gap& gap : past_) add(gap);
  if (reason_ != GapReason::kNone) add({since_ns_, to_ns, reason_});
  return gaps;
}

uint64_t Coverage::CoveredNs(uint64_t from_ns, uint64_t to_ns) const {
  return to_ns - from_ns - TotalNs(GapsIn(from_ns, to_ns));
}

uint64_t TotalNs(const std::vector<Gap>& gaps) {
  uint64_t total_ns = 0;
  for (const Gap& gap : gaps) total_ns += gap.to_ns - gap.from_ns;
  return total_ns;
}

}  // namespace sonde
