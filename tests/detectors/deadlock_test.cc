// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/deadlock.h"

#include <gtest/gtest.h>

#include <vector>

namespace sonde {
namespace {

using Edges = std::vector<LockEdge>;

TEST(Deadlock, CyclesOfEachLengthAreFoundOnce) {
  const Edges waits = {{1, 2, 0x10, 5}, {2, 1, 0x20, 5},                   // two
                       {3, 4, 0x30, 5}, {4, 5, 0x40, 5}, {5, 3, 0x50, 5},  // three
                       {9, 9, 0x90, 5},                                    // itself
                       {6, 1, 0x10, 5}, {7, 8, 0x70, 5}};                  // waiters outside
  const auto cycles = FindCycles(waits);
  ASSERT_EQ(cycles.size(), 3u);
  EXPECT_EQ(cycles[0].size(), 2u);
  EXPECT_EQ(cycles[0][0].waiter, 1);
  EXPECT_EQ(cycles[1].size(), 3u);
  EXPECT_EQ(cycles[2].size(), 1u);
}

TEST(Deadlock, ChainsWithoutAnEndInThemselvesAreNone) {
  EXPECT_TRUE(FindCycles(Edges{{1, 2, 0x10, 5}, {2, 3, 0x20, 5}, {3, 4, 0x30, 5}}).empty());
  // 5 leads into a cycle without being in it.
  EXPECT_EQ(FindCycles(Edges{{5, 1, 0x10, 5}, {1, 2, 0x20, 5}, {2, 1, 0x30, 5}}).size(), 1u);
}

TEST(Deadlock, OneLookProvesNothing) {
  Deadlocks detector;
  const Edges cycle = {{1, 2, 0x10, 5}, {2, 1, 0x20, 6}};
  EXPECT_TRUE(detector.Observe(cycle).empty());
  EXPECT_EQ(detector.Observe(cycle).size(), 1u);
}

TEST(Deadlock, ACycleWhoseThreadsRanIsNone) {
  Deadlocks detector;
  for (uint64_t cpu_ns = 5; cpu_ns < 50; ++cpu_ns) {
    EXPECT_TRUE(detector.Observe(Edges{{1, 2, 0x10, cpu_ns}, {2, 1, 0x20, 6}}).empty());
  }
}

TEST(Deadlock, ACycleThroughOtherLocksIsAnother) {
  Deadlocks detector;
  EXPECT_TRUE(detector.Observe(Edges{{1, 2, 0x10, 5}, {2, 1, 0x20, 6}}).empty());
  EXPECT_TRUE(detector.Observe(Edges{{1, 2, 0x30, 5}, {2, 1, 0x20, 6}}).empty());
}

}  // namespace
}  // namespace sonde
