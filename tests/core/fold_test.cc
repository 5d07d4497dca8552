// SPDX-License-Identifier: Apache-2.0
#include "collectors/fold.h"

#include <gtest/gtest.h>

#include <new>

#include "collectors/fold_capture.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

struct Sums {
  uint64_t events = 0;
  uint64_t amount = 0;
  bool operator==(const Sums&) const = default;
};

Sums RecordedIn(const FoldProfile& profile) {
  Sums sums;
  for (const FoldSample& sample : profile.samples) {
    sums.events += sample.events;
    sums.amount += sample.amount;
  }
  return sums;
}

TEST(Fold, HandsOverEachIncrementOnce) {
  RegionForTesting region;
  Folder folder(*region, Folder::Start::kFromEmpty);
  Capture capture(kSecond, 1 << 20);
  folder.AddSink(&capture, kSecond);
  const ThreadId thread = region.Thread(7);
  for (int round = 1; round <= 5; ++round) {
    ASSERT_EQ(region.Record(thread, 0x1234, 3, 30), DropReason::kNone);
    folder.Fold(static_cast<uint64_t>(round + 1) * kSecond);
    folder.Fold(static_cast<uint64_t>(round + 1) * kSecond);
  }
  const FoldProfile profile = capture.Collect();
  ASSERT_EQ(profile.samples.size(), 1u);
  EXPECT_EQ(profile.samples[0].events, 15u);
  EXPECT_EQ(profile.samples[0].amount, 150u);
  EXPECT_EQ(profile.samples[0].frames, RegionForTesting::Frames(0x1234));
  EXPECT_EQ(profile.samples[0].thread.tid, 7);
  EXPECT_EQ(profile.samples[0].thread.pid, 100);
  EXPECT_EQ(profile.from_ns, kSecond);
  EXPECT_EQ(profile.to_ns, 6 * kSecond);
}

TEST(Fold, ACaptureSeesNothingFromBeforeItsOpening) {
  RegionForTesting region;
  Folder folder(*region, Folder::Start::kFromEmpty);
  const ThreadId thread = region.Thread(7);
  ASSERT_EQ(region.Record(thread, 1), DropReason::kNone);
  Capture capture(kSecond, 1 << 20);
  folder.AddSink(&capture, kSecond);
  folder.Fold(2 * kSecond);
  EXPECT_TRUE(capture.Collect().samples.empty());
  ASSERT_EQ(region.Record(thread, 1), DropReason::kNone);
  folder.RemoveSink(&capture, 3 * kSecond);
  ASSERT_EQ(region.Record(thread, 1), DropReason::kNone);
  folder.Fold(4 * kSecond);
  EXPECT_EQ(RecordedIn(capture.Collect()), (Sums{1, 10}));
}

class SinkWithoutMemory : public FoldSink {
 public:
  void OnDelta(const FoldDelta&) override { throw std::bad_alloc(); }
  void OnLost(Kind, DropReason, uint64_t, uint64_t) override {}
  void OnFoldEnd(uint64_t) override {}
};

// From a destructor, while the agent stops for want of memory: an exception there ends the host.
TEST(Fold, ASinkGoesWithoutMemory) {
  RegionForTesting region;
  Folder folder(*region, Folder::Start::kFromEmpty);
  SinkWithoutMemory sink;
  folder.AddSink(&sink, kSecond);
  ASSERT_EQ(region.Record(region.Thread(7), 1), DropReason::kNone);
  EXPECT_THROW(folder.Fold(2 * kSecond), std::bad_alloc);
  ASSERT_EQ(region.Record(region.Thread(7), 2), DropReason::kNone);
  EXPECT_NO_THROW(folder.RemoveSink(&sink, 3 * kSecond));
  ASSERT_EQ(region.Record(region.Thread(7), 3), DropReason::kNone);
  EXPECT_NO_THROW(folder.Fold(4 * kSecond));
}

}  // namespace
}  // namespace sonde
