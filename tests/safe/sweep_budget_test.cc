// SPDX-License-Identifier: Apache-2.0
#include "collectors/sweep_budget.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1000 * kMs;

TEST(SweepBudget, ADearFirstLookDoesNotDelayTheNext) {
  SweepBudget budget;
  EXPECT_EQ(budget.PauseNs(1000 * kSecond, 25 * kMs), 0u);
  EXPECT_EQ(budget.PauseNs(1001 * kSecond, 25 * kMs), 0u);
}

TEST(SweepBudget, InTheLongRunATwoHundredthIsUsed) {
  SweepBudget budget;
  uint64_t now = 1000 * kSecond, used = 0;
  const uint64_t end = now + 1000 * kSecond;
  while (now < end) {
    used += 30 * kMs;
    now += std::max(budget.PauseNs(now, 30 * kMs), 100 * kMs);
  }
  EXPECT_NEAR(static_cast<double>(used), static_cast<double>(1000 * kSecond / 200 + 50 * kMs),
              30.0 * kMs);
}

TEST(SweepBudget, WhatIsSavedHasABound) {
  SweepBudget budget;
  EXPECT_EQ(budget.PauseNs(kSecond, 0), 0u);
  const uint64_t now = 1'000'000 * kSecond;
  EXPECT_EQ(budget.PauseNs(now, 50 * kMs), 0u);
  EXPECT_EQ(budget.PauseNs(now, kMs), 200 * kMs);
}

}  // namespace
}  // namespace sonde
