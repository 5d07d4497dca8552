// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/thread_totals.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace sonde {
namespace {

double Sum(const ThreadTotals& totals) {
  double sum = 0;
  for (const auto& [name, seconds] : totals.seconds()) sum += seconds;
  return sum;
}

TEST(ThreadTotals, AnEndedThreadsTimeStaysInItsNamesCounter) {
  ThreadTotals totals;
  totals.Update({{"worker", 1, 5, true}, {"worker", 2, 3, true}});
  EXPECT_DOUBLE_EQ(totals.seconds().at("worker"), 8);
  totals.Update({{"worker", 2, 4, true}});
  EXPECT_DOUBLE_EQ(totals.seconds().at("worker"), 9);
}

TEST(ThreadTotals, AReusedTidStartsAtZero) {
  ThreadTotals totals;
  totals.Update({{"old", 1, 100, true}});
  totals.Update({{"new", 1, 2, true}});
  EXPECT_DOUBLE_EQ(totals.seconds().at("old"), 100);
  EXPECT_DOUBLE_EQ(totals.seconds().at("new"), 2);
}

TEST(ThreadTotals, TheBusiestNamesGetTheSeriesAndTheRestIsOther) {
  ThreadTotals totals;
  std::vector<ThreadCpu> threads;
  for (int i = 0; i < 50; ++i)
    threads.push_back({"t" + std::to_string(i), i + 1, static_cast<double>(i), true});
  totals.Update(threads);
  EXPECT_EQ(totals.seconds().size(), ThreadTotals::kMaxNames + 1);
  EXPECT_TRUE(totals.seconds().contains("t49"));
  EXPECT_TRUE(totals.seconds().contains("t30"));
  EXPECT_FALSE(totals.seconds().contains("t29"));
  EXPECT_DOUBLE_EQ(totals.seconds().at(ThreadTotals::kOther), 29 * 30 / 2);
  EXPECT_DOUBLE_EQ(Sum(totals), 49 * 50 / 2) << "nothing is lost";
}

TEST(ThreadTotals, AThreadNamedOtherDoesNotBreakIt) {
  ThreadTotals totals;
  totals.Update({{"other", 1, 3, true}, {"x", 2, 1, true}});
  EXPECT_DOUBLE_EQ(totals.seconds().at("other"), 3);
}

// Threads come, go and change names; no counter may ever fall.
TEST(ThreadTotals, CountersNeverFallAndSeriesStayBounded) {
  std::mt19937 random(5);
  ThreadTotals totals;
  std::map<int, ThreadCpu> live;
  for (int round = 0; round < 2000; ++round) {
    const int tid = static_cast<int>(random() % 100) + 1;
    if (random() % 4 == 0) {
      live.erase(tid);
    } else if (!live.contains(tid)) {
      live[tid] = {"n" + std::to_string(random() % 60), tid, 0, true};
    }
    std::vector<ThreadCpu> threads;
    for (auto& [id, thread] : live) {
      thread.cpu_seconds += static_cast<double>(random() % 3);
      threads.push_back(thread);
    }
    const auto before = totals.seconds();
    totals.Update(threads);
    ASSERT_LE(totals.seconds().size(), ThreadTotals::kMaxNames + 1);
    for (const auto& [name, seconds] : before) {
      const auto after = totals.seconds().find(name);
      if (after != totals.seconds().end()) {
        ASSERT_GE(after->second, seconds) << name;
      }
    }
  }
}

}  // namespace
}  // namespace sonde
