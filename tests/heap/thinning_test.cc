// SPDX-License-Identifier: Apache-2.0
// Fewer samples while the tables fill up, and more again when there is room.
#include <gtest/gtest.h>

#include <algorithm>

#include "collectors/heap_thinning.h"

namespace sonde {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

TEST(HeapThinning, LeavesTheIntervalAloneWhileThereIsRoom) {
  HeapThinning thinning;
  for (uint64_t second = 1; second < 100; ++second) {
    EXPECT_EQ(thinning.Update({.live_percent = 69, .stacks_percent = 81}, second * kSecondNs), 0);
  }
}

TEST(HeapThinning, TakesWhatLiveBlocksWereThinnedByAndRaisesItForStacks) {
  EXPECT_EQ(HeapThinning().Update({.live_percent = 44, .live_doublings = 3}, kSecondNs), 3);
  EXPECT_EQ(HeapThinning().Update({.stacks_percent = 87}, kSecondNs), 2);
  EXPECT_EQ(HeapThinning().Update({.live_doublings = 2, .stacks_percent = 99}, kSecondNs), 6);
}

TEST(HeapThinning, AnswersALossByWhatWouldHaveKeptItAndWaitsForItToShow) {
  HeapThinning thinning({.taken_bytes = 10, .lost_bytes = 50});
  EXPECT_EQ(thinning.Update({.taken_bytes = 10, .lost_bytes = 50}, kSecondNs), 0);
  EXPECT_EQ(thinning.Update({.taken_bytes = 110, .lost_bytes = 51}, 2 * kSecondNs), 1);
  EXPECT_EQ(thinning.Update({.taken_bytes = 110, .lost_bytes = 60}, 3 * kSecondNs), 1);
  // 100 kept, 1500 lost: a sixteenth of all would have fitted.
  EXPECT_EQ(thinning.Update({.taken_bytes = 210, .lost_bytes = 1560}, 6 * kSecondNs), 1 + 5);
  EXPECT_EQ(thinning.Update({.taken_bytes = 210, .lost_bytes = UINT64_MAX}, 60 * kSecondNs),
            HeapThinning::kMostDoublings);
}

TEST(HeapThinning, TakesItBackStepByStepOnceItIsCalm) {
  HeapThinning thinning;
  ASSERT_EQ(thinning.Update({.live_percent = 40, .live_doublings = 4}, kSecondNs), 4);
  // Neither full nor calm.
  EXPECT_EQ(thinning.Update({.live_percent = 31}, 100 * kSecondNs), 4);
  EXPECT_EQ(thinning.Update({.stacks_percent = 80}, 200 * kSecondNs), 4);
  EXPECT_EQ(thinning.Update({.live_percent = 10}, 201 * kSecondNs), 3);
  EXPECT_EQ(thinning.Update({.live_percent = 10}, 202 * kSecondNs), 3);
  EXPECT_EQ(thinning.Update({.live_percent = 10}, 211 * kSecondNs), 2);
}

// Each sample brings a stack of its own, which goes two folds later: whatever the rate, after the
// first seconds next to nothing is lost, and the table stays in use.
TEST(HeapThinning, FindsARateAtWhichNothingIsLost) {
  constexpr double kRoom = 8192;
  for (const double rate : {1e3, 1e4, 1e5, 1e6}) {
    HeapThinning thinning;
    TableFill fill;
    double used = 0, goes_next = 0, kept = 0, lost = 0;
    for (uint64_t second = 1; second <= 600; ++second) {
      const double weight = 1 << thinning.doublings();
      const double fit = std::min(rate / weight, kRoom - used);
      const double no_room = rate / weight - fit;
      if (second > 10) kept += fit, lost += no_room;
      fill.taken_bytes += static_cast<uint64_t>(fit * weight);
      fill.lost_bytes += static_cast<uint64_t>(no_room * weight);
      used += fit;
      fill.stacks_percent = static_cast<uint64_t>(used * 100 / kRoom);
      static_cast<void>(thinning.Update(fill, second * kSecondNs));
      used -= goes_next;
      goes_next = fit;
    }
    EXPECT_LT(lost, 0.1 * kept) << rate;
    EXPECT_GT(kept, 590 * std::min(rate, 1000.0) * 0.9) << rate;
  }
}

}  // namespace
}  // namespace sonde
