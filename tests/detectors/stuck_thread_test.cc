// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/stuck_thread.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

constexpr uint64_t kMinute = 60'000'000'000;

TEST(StuckThread, WaitingForWorkMayLast) {
  EXPECT_FALSE(IsStuck({WaitClass::kForWork, 1000 * kMinute, false}, {kMinute}));
}

TEST(StuckThread, WaitingForALockTheDiskOrACpuMayNot) {
  for (const WaitClass wait : {WaitClass::kLock, WaitClass::kUninterruptible, WaitClass::kForCpu}) {
    EXPECT_FALSE(IsStuck({wait, kMinute - 1, false}, {kMinute}));
    EXPECT_TRUE(IsStuck({wait, kMinute, false}, {kMinute}));
  }
}

TEST(StuckThread, AWaitWithALimitEndsByItself) {
  EXPECT_FALSE(IsStuck({WaitClass::kLock, 10 * kMinute, true}, {kMinute}));
}

}  // namespace
}  // namespace sonde
