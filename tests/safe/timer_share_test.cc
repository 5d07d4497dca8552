// SPDX-License-Identifier: Apache-2.0
#include "agent/life/timer_share.h"

#include <gtest/gtest.h>

namespace sonde::life {
namespace {

TEST(TimerShareTest, AnEighthIsForAllTreesOfTheUidTogether) {
  EXPECT_EQ(TimerShare::Allowed(8000, 0, 0), 1000u);
  EXPECT_EQ(TimerShare::Allowed(8000, 300, 300), 1000u);
  EXPECT_EQ(TimerShare::Allowed(8000, 700, 300), 600u);
}

TEST(TimerShareTest, BesideGreedyProcessesASmallShareIsLeftWhileHalfOfTheLimitIsFree) {
  EXPECT_EQ(TimerShare::Allowed(8000, 3000, 0), TimerShare::kSmallShare);
  EXPECT_EQ(TimerShare::Allowed(8000, 4000, 10), TimerShare::kSmallShare);
  EXPECT_EQ(TimerShare::Allowed(8000, 4000, 0), 0u);
}

TEST(TimerShareTest, ASmallLimitGivesNoMoreThanItsEighth) {
  EXPECT_EQ(TimerShare::Allowed(16, 0, 0), 2u);
  EXPECT_EQ(TimerShare::Allowed(16, 7, 0), 2u);
  EXPECT_EQ(TimerShare::Allowed(7, 0, 0), 0u);
  EXPECT_EQ(TimerShare::Allowed(0, 0, 0), 0u);
}

// The uid's count and ours are not read at the same moment.
TEST(TimerShareTest, MoreOfOursThanAreCountedMeansNobodyElse) {
  EXPECT_EQ(TimerShare::Allowed(8000, 3, 5), 1000u);
}

}  // namespace
}  // namespace sonde::life
