// SPDX-License-Identifier: Apache-2.0
// After a churn of many distinct stacks has stopped, a new hot stack is there again, and nothing
// has gone unaccounted.
#include <gtest/gtest.h>

#include <cstdint>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// Counts what comes by, all and for one stack.
class Tally : public FoldSink {
 public:
  explicit Tally(uint64_t hot_frame) : hot_frame_(hot_frame) {}
  void OnDelta(const FoldDelta& delta) override {
    recorded += delta.events;
    amount += delta.amount;
    if (delta.frames[0] == hot_frame_) hot += delta.events;
  }
  void OnLost(Kind, DropReason, uint64_t events, uint64_t lost_amount) override {
    dropped += events;
    amount += lost_amount;
  }
  void OnFoldEnd(uint64_t) override {}

  uint64_t recorded = 0, dropped = 0, amount = 0, hot = 0;

 private:
  uint64_t hot_frame_;
};

struct Churn {
  uint64_t stacks;
  uint64_t stacks_per_second;
};

class ChurnTest : public testing::TestWithParam<Churn> {};

TEST_P(ChurnTest, AHotStackIsRecordedWithin20SecondsAfterwards) {
  constexpr uint64_t kHotFrame = 0x1234567;
  constexpr uint64_t kHotPerSecond = 100;
  RegionForTesting region;
  Folder folder(*region, Folder::Start::kFromEmpty);
  Tally tally(kHotFrame);
  uint64_t now = kSecond;
  folder.AddSink(&tally, now);
  const ThreadId thread = region.Thread(1);
  uint64_t offered = 0;
  uint64_t frames[24] = {};
  for (uint64_t i = 0; i < GetParam().stacks; ++i) {
    frames[i % 24] = i;
    // Depths from 1 to 24; the first and the last of those differ between any two.
    const auto depth = static_cast<uint32_t>(1 + i % 24);
    frames[0] = (i + 1) << 32;
    RecordStack(*region, {frames, depth, 0}, thread, Kind::kCpu, 1, 10);
    ++offered;
    if (i % GetParam().stacks_per_second == 0) folder.Fold(now += kSecond);
  }
  EXPECT_GT(tally.dropped, 0u) << "the churn did not fill the tables: the test shows nothing";
  uint64_t hot_offered = 0;
  uint64_t hot_before = 0;
  for (int second = 0; second < 40; ++second) {
    if (second == 20) hot_before = tally.hot, hot_offered = 0;
    for (uint64_t i = 0; i < kHotPerSecond; ++i, ++offered, ++hot_offered) {
      region.Record(thread, kHotFrame);
    }
    folder.Fold(now += kSecond);
  }
  EXPECT_GE(static_cast<double>(tally.hot - hot_before), 0.95 * static_cast<double>(hot_offered));
  EXPECT_GE(hot_before, 0.75 * 20 * kHotPerSecond) << "it took more than 5 seconds";
  EXPECT_EQ(tally.recorded + tally.dropped, offered);
  EXPECT_EQ(tally.amount, offered * 10);
  EXPECT_LE(folder.report().stacks, 1u) << "idle stacks were not evicted";
}

INSTANTIATE_TEST_SUITE_P(TenMillion, ChurnTest,
                         testing::Values(Churn{10'000'000 / kShorter, 100'000},
                                         Churn{2'000'000 / kShorter, 10'000}));
// Run by label slow.
INSTANTIATE_TEST_SUITE_P(DISABLED_HundredMillion, ChurnTest,
                         testing::Values(Churn{100'000'000, 1'000'000}));

}  // namespace
}  // namespace sonde
