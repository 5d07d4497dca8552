// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_process.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

class HotProcessTest : public ::testing::Test {
 protected:
  // A second with so many cores used, and so many of its ten periods throttled.
  CpuPressure Second(double cores, uint64_t throttled) {
    now_ns_ += kSecond;
    reading_.used_ns += static_cast<uint64_t>(cores * 1e9);
    reading_.periods += 10;
    reading_.throttled_periods += throttled;
    reading_.throttled_ns += throttled * 50'000'000;
    return detector_.Observe(now_ns_, reading_);
  }
  CpuPressure Seconds(int count, double cores, uint64_t throttled) {
    CpuPressure last;
    for (int i = 0; i < count; ++i) last = Second(cores, throttled);
    return last;
  }

  HotProcess detector_;
  CgroupCpu reading_{.limit_cores = 2};
  uint64_t now_ns_ = 0;
};

TEST_F(HotProcessTest, NearTheLimitIsFoundWithoutThrottling) {
  const CpuPressure pressure = Seconds(12, 1.95, 0);
  EXPECT_TRUE(pressure.at_limit);
  EXPECT_FALSE(pressure.throttled);
  EXPECT_NEAR(pressure.cores, 1.95, 0.01);
}

TEST_F(HotProcessTest, ThrottlingBelowTheLimitIsToldApart) {
  const CpuPressure pressure = Seconds(12, 0.8, 4);
  EXPECT_FALSE(pressure.at_limit);
  EXPECT_TRUE(pressure.throttled);
  EXPECT_NEAR(pressure.throttled_share, 0.4, 0.01);
  EXPECT_NEAR(pressure.throttled_seconds, 0.2 * 10, 0.01);
}

TEST_F(HotProcessTest, AShortTimeOrNoLimitIsNoFinding) {
  EXPECT_FALSE(Seconds(9, 2.0, 9).at_limit);
  reading_.limit_cores = 0;
  const CpuPressure pressure = Seconds(30, 2.0, 9);
  EXPECT_FALSE(pressure.at_limit);
  EXPECT_FALSE(pressure.throttled);
}

TEST_F(HotProcessTest, AChangedLimitStartsAnew) {
  Seconds(12, 1.95, 0);
  reading_.limit_cores = 1;
  EXPECT_FALSE(Second(0.95, 0).at_limit);
  EXPECT_TRUE(Seconds(11, 0.95, 0).at_limit);
}

}  // namespace
}  // namespace sonde
