// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/thread_leak.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kAfter = 40 * kSecond;
constexpr uint64_t kSite = 77;

// Threads that a test makes and ends, looked at every five seconds.
class ThreadLeakTest : public ::testing::Test {
 protected:
  ThreadLeakTest() { detector_.Configure({kAfter}); }

  int Make(uint64_t site = kSite, int pid = 1) {
    ++last_tid_;
    threads_[last_tid_] = {pid, last_tid_, site, 0};
    return last_tid_;
  }
  void End(int tid) { threads_.erase(tid); }
  void Work(int tid) { threads_[tid].cpu_ns += 1000; }

  // `each` runs before each look.
  std::vector<ThreadLeak> Looks(int count, const std::function<void(int)>& each) {
    std::vector<ThreadLeak> found;
    for (int i = 0; i < count; ++i) {
      now_ns_ += 5 * kSecond;
      each(i);
      std::vector<ThreadSeen> seen;
      for (const auto& [tid, thread] : threads_) seen.push_back(thread);
      found = detector_.Observe(now_ns_, seen);
      if (!found.empty()) ++alarms_;
    }
    return found;
  }

  ThreadLeaks detector_;
  std::map<int, ThreadSeen> threads_;
  int last_tid_ = 0;
  int alarms_ = 0;
  uint64_t now_ns_ = 1000 * kSecond;
};

TEST_F(ThreadLeakTest, ThreadsThatStayAndDoNothingAreFoundBySite) {
  Make(5), Make(6);  // others
  const auto found = Looks(60, [&](int i) {
    if (i % 2 == 0) Make();
  });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].creator, kSite);
  EXPECT_GE(found[0].entered, ThreadLeaks::kMinEntered);
  EXPECT_EQ(found[0].left, 0U);
  EXPECT_EQ(found[0].live, 30U);
  EXPECT_GE(found[0].idle, 15U);
  EXPECT_EQ(found[0].idle_tid, 3);
  EXPECT_LE(found[0].since_ns + 4 * kAfter, now_ns_);
}

TEST_F(ThreadLeakTest, ItTakesFiveSpansAndEndsWhenNoMoreAreMade) {
  Looks(40, [&](int) { Make(); });  // one span to become old, three and a bit of windows
  EXPECT_EQ(alarms_, 0);
  EXPECT_FALSE(Looks(10, [&](int) { Make(); }).empty());
  EXPECT_TRUE(Looks(24, [](int) {}).empty());
}

TEST_F(ThreadLeakTest, APoolThatGrowsToItsSizeIsNone) {
  Looks(400, [&](int i) {
    if (i < 16) Make();
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, APoolThatComesAndGoesIsNone) {
  std::vector<int> pool;
  Looks(400, [&](int i) {
    pool.push_back(Make());
    if (i < 12) return;  // each lives for a minute
    End(pool.front());
    pool.erase(pool.begin());
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, ThreadsThatWorkAreNone) {
  Looks(400, [&](int i) {
    if (i % 2 == 0) Make();
    for (const auto& [tid, thread] : std::map(threads_)) {
      if ((tid + i) % 6 == 0) Work(tid);
    }
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, ShortLivedThreadsAreNoneHoweverMany) {
  Looks(400, [&](int) {
    std::vector<int> made;
    for (const auto& [tid, thread] : threads_) made.push_back(tid);
    for (const int tid : made) End(tid);
    for (int i = 0; i < 50; ++i) Make();
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, AReusedTidIsAnotherThread) {
  // The same ten tids for ever; each becomes old, ends, and another takes its tid.
  for (int i = 0; i < 10; ++i) Work(Make());
  Looks(400, [&](int i) {
    if (i % 12 != 11) return;
    for (auto& [tid, thread] : threads_) thread.cpu_ns = thread.cpu_ns == 0 ? 1 : 0;
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, EachProcessThatLeaksIsNamedAndTheHealthyOneIsNot) {
  std::vector<int> pool;
  const auto found = Looks(60, [&](int i) {
    if (i % 2 == 0) Make(kSite, 10), Make(kSite, 11);
    pool.push_back(Make(kSite, 12));
    if (i < 12) return;
    End(pool.front());
    pool.erase(pool.begin());
  });
  ASSERT_EQ(found.size(), 2U);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(found[static_cast<size_t>(i)].pid, 10 + i);
    EXPECT_EQ(found[static_cast<size_t>(i)].creator, kSite);
    EXPECT_EQ(found[static_cast<size_t>(i)].live, 30U);
  }
}

// A fork server that replaces its workers: each has eight threads, and lives for three spans.
TEST_F(ThreadLeakTest, WorkersThatAreReplacedWithTheirPoolsAreNone) {
  std::map<int, std::vector<int>> workers;
  Looks(400, [&](int i) {
    if (i % 8 != 0) return;
    for (int k = 0; k < 8; ++k) workers[i].push_back(Make(kSite, 100 + i));
    const auto oldest = workers.begin();
    if (i - oldest->first < 24) return;
    for (const int tid : oldest->second) End(tid);
    workers.erase(oldest);
  });
  EXPECT_EQ(alarms_, 0);
}

// Threads that never end, of which no process makes enough.
TEST_F(ThreadLeakTest, EachProcessWithItsLastingPoolIsNone) {
  Looks(400, [&](int i) {
    if (i % 4 == 0) Make(kSite, 100 + i / 16);
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, ATidThatAnotherProcessTakesIsAnotherThread) {
  for (int i = 0; i < 10; ++i) Make(kSite, 10);
  Looks(400, [&](int i) {
    if (i % 12 != 11) return;
    for (auto& [tid, thread] : threads_) thread.pid = 10 + (i / 12) % 2;
  });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, UnknownCreatorsAreLeftOut) {
  Looks(100, [&](int) { Make(0); });
  EXPECT_EQ(alarms_, 0);
}

TEST_F(ThreadLeakTest, AGapInTheLooksIsNoLeak) {
  Looks(10, [&](int) { Make(); });
  now_ns_ += 20 * kAfter;
  Looks(3, [](int) {});
  EXPECT_EQ(alarms_, 0);
}

}  // namespace
}  // namespace sonde
