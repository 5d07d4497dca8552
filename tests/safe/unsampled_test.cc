// SPDX-License-Identifier: Apache-2.0
#include "collectors/unsampled.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"

namespace sonde {
namespace {

constexpr uint64_t kPeriodNs = 10'000'000;
constexpr uint64_t kSlackNs = Unsampled::kSlackPeriods * kPeriodNs;

class UnsampledTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateRegion({}, &region_, &origin_));
    process_ = ClaimProcess(region_, getpid(), StartTicksOf(getpid()), {}, 1);
    counted_ns_ = CountedCpuNs();
    folder_ = std::make_unique<Folder>(region_, Folder::Start::kFromEmpty);
    folder_->AddSink(&capture_, 1);
  }
  void TearDown() override {
    folder_.reset();
    CloseRegion(&region_);
  }

  // CPU time in the profile so far; all of it must be under the one frame.
  uint64_t ShownNs() {
    folder_->Fold(2);
    uint64_t shown_ns = 0;
    for (const FoldSample& sample : capture_.Collect().samples) {
      EXPECT_STREQ(SyntheticFrameName(sample.frames[0]), "[not sampled]");
      EXPECT_EQ(sample.thread.tid, 0);
      EXPECT_EQ(sample.amount, sample.events * kPeriodNs);
      shown_ns += sample.amount;
    }
    return shown_ns;
  }

  // As if the process had used so much, of which the handler has counted nothing.
  void Used(uint64_t ns, int64_t owed_ns = 0) {
    unsampled_.Note(counted_ns_ + ns, owed_ns, kPeriodNs, 1);
  }

  Region region_;
  RegionOrigin origin_;
  ProcessId process_;
  uint64_t counted_ns_ = 0;
  std::unique_ptr<Folder> folder_;
  Capture capture_{1, 1 << 20};
  Unsampled unsampled_{region_, process_};
};

TEST_F(UnsampledTest, WhatWasUsedBeforeTheFirstLookIsNotShown) {
  Used(900 * kPeriodNs);
  Used(900 * kPeriodNs);
  EXPECT_EQ(ShownNs(), 0u);
}

TEST_F(UnsampledTest, WhatNoSampleStandsForIsShownButForTheSlack) {
  Used(0);
  Used(1000 * kPeriodNs);
  const uint64_t shown_ns = ShownNs();
  EXPECT_GE(shown_ns, 1000 * kPeriodNs - kSlackNs);
  EXPECT_LE(shown_ns, 1000 * kPeriodNs);
}

TEST_F(UnsampledTest, NothingIsShownTwice) {
  Used(0);
  for (uint64_t used = 0; used <= 1000; ++used) Used(used * kPeriodNs);
  const uint64_t shown_ns = ShownNs();
  EXPECT_GE(shown_ns, 1000 * kPeriodNs - kSlackNs);
  EXPECT_LE(shown_ns, 1000 * kPeriodNs);
}

TEST_F(UnsampledTest, WhatATimerStillOwesIsNotLost) {
  Used(0);
  Used(1000 * kPeriodNs, 1000 * kPeriodNs);
  EXPECT_EQ(ShownNs(), 0u);
}

TEST_F(UnsampledTest, AFewPeriodsMoreOrLessAreChance) {
  Used(0);
  for (int round = 0; round < 100; ++round) Used(round % 2 * (kSlackNs - 1));
  EXPECT_EQ(ShownNs(), 0u);
}

TEST_F(UnsampledTest, WhatWasUsedWhileSamplingWasOffIsNotShown) {
  Used(0);
  unsampled_.Restart();
  Used(1000 * kPeriodNs);
  EXPECT_EQ(ShownNs(), 0u);
}

}  // namespace
}  // namespace sonde
