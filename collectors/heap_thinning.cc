// SPDX-License-Identifier: Apache-2.0
#include "collectors/heap_thinning.h"

#include <algorithm>
#include <span>

namespace sonde {
namespace {

struct Step {
  uint64_t at_percent;
  int doublings;
};

// One doubling less may bring twice as much: still below kLiveIsFullAt.
constexpr uint64_t kLiveIsCalmBelow = 30;

// Stacks that nothing counts on stay, too, until three quarters are used
// (FoldOptions::pressure_percent); then all go that had no part in the last fold. So what lies well
// above that is in use, or comes in faster than it goes.
constexpr Step kOfStacks[] = {{82, 1}, {86, 2}, {90, 4}, {95, 6}};
constexpr uint64_t kStacksAreCalmBelow = 78;

int StepsOf(std::span<const Step> steps, uint64_t percent) {
  int doublings = 0;
  for (const Step& step : steps) {
    if (percent >= step.at_percent) doublings = step.doublings;
  }
  return doublings;
}

}  // namespace

// How many more would have kept what was lost since the last question.
int HeapThinning::DoublingsForLoss(const TableFill& fill) {
  const uint64_t taken = fill.taken_bytes - taken_bytes_;
  const uint64_t lost = fill.lost_bytes - lost_bytes_;
  taken_bytes_ = fill.taken_bytes;
  lost_bytes_ = fill.lost_bytes;
  if (lost == 0) return 0;
  int doublings = 1;
  for (uint64_t kept = taken + 1; kept < lost && doublings < kMostDoublings; kept *= 2) ++doublings;
  return doublings;
}

int HeapThinning::Update(const TableFill& fill, uint64_t now_ns) {
  const int before = doublings_;
  // What comes is not to be finer than what is there: it would be thinned soon.
  doublings_ = std::max({doublings_, fill.live_doublings, StepsOf(kOfStacks, fill.stacks_percent)});
  const int for_loss = DoublingsForLoss(fill);
  const bool shows = answered_loss_ns_ == 0 || now_ns - answered_loss_ns_ >= kShowsAfterNs;
  if (for_loss != 0 && shows) {
    doublings_ = std::min(std::max(doublings_, before + for_loss), kMostDoublings);
    answered_loss_ns_ = now_ns;
  }
  const bool calm =
      fill.live_percent < kLiveIsCalmBelow && fill.stacks_percent < kStacksAreCalmBelow;
  if (doublings_ == before && doublings_ > 0 && calm && now_ns - changed_ns_ >= kCalmNs) {
    --doublings_;
  }
  if (doublings_ != before) changed_ns_ = now_ns;
  return doublings_;
}

}  // namespace sonde
