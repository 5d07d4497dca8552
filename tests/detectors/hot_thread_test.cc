// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_thread.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// Threads whose CPU use a test sets, looked at once a second.
class HotThreadTest : public ::testing::Test {
 protected:
  HotThreadTest() { detector_.Configure({0.9, 10 * kSecond}); }

  void Add(int tid, const std::string& name, uint64_t born = 0) {
    threads_[tid] = {{7, tid, born}, name, 0, 0};
  }
  // A second in which thread `tid` uses `share` of a core, and the others what they used before.
  std::vector<HotEpisode> Second(const std::map<int, double>& shares) {
    now_ns_ += kSecond;
    std::vector<ThreadUse> uses;
    for (auto& [tid, use] : threads_) {
      const auto share = shares.find(tid);
      if (share != shares.end()) use.cpu_ns += static_cast<uint64_t>(share->second * 1e9);
      use.at_ns = now_ns_;
      uses.push_back(use);
    }
    return detector_.Observe(uses);
  }
  std::vector<HotEpisode> Seconds(int count, const std::map<int, double>& shares) {
    std::vector<HotEpisode> last;
    for (int i = 0; i < count; ++i) last = Second(shares);
    return last;
  }

  HotThreads detector_;
  std::map<int, ThreadUse> threads_;
  uint64_t now_ns_ = 100 * kSecond;
};

TEST_F(HotThreadTest, IsFoundAfterTheTimeThatWasSetAndNotBefore) {
  Add(1, "worker");
  EXPECT_TRUE(Seconds(10, {{1, 1.0}}).empty());  // nine seconds of heat are known by then
  const auto found = Second({{1, 1.0}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].since_ns, 101 * kSecond);
  EXPECT_EQ(found[0].until_ns, 0u);
  EXPECT_NEAR(found[0].share(), 1.0, 0.001);
}

TEST_F(HotThreadTest, StaysBelowTheShareUnfound) {
  Add(1, "worker");
  EXPECT_TRUE(Seconds(60, {{1, 0.88}}).empty());
}

TEST_F(HotThreadTest, AShortBurstIsNoFinding) {
  Add(1, "worker");
  EXPECT_TRUE(Seconds(9, {{1, 1.0}}).empty());
  EXPECT_TRUE(Seconds(30, {{1, 0.1}}).empty());
}

TEST_F(HotThreadTest, BurstsWithPausesAreNoFinding) {
  Add(1, "worker");
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(Seconds(7, {{1, 1.0}}).empty());
    EXPECT_TRUE(Seconds(2, {{1, 0.0}}).empty());
  }
}

TEST_F(HotThreadTest, EndsWithTheLastBusySecond) {
  Add(1, "worker");
  Seconds(21, {{1, 1.0}});
  const uint64_t end_ns = now_ns_;
  auto found = Second({{1, 0.0}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].until_ns, 0u);  // may be a pause
  found = Second({{1, 0.0}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].until_ns, end_ns);
  EXPECT_FALSE(found[0].ended);
  EXPECT_NEAR(found[0].share(), 1.0, 0.001);
  EXPECT_TRUE(Seconds(20, {{1, 0.0}}).empty());
}

TEST_F(HotThreadTest, AThreadThatIsGoneEndsItsEpisode) {
  Add(1, "worker");
  Seconds(15, {{1, 1.0}});
  threads_.erase(1);
  const auto found = Second({});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].ended);
  EXPECT_EQ(found[0].until_ns, now_ns_ - kSecond);
  EXPECT_TRUE(Second({}).empty());
}

TEST_F(HotThreadTest, TwoThreadsOfOneNameStayApart) {
  Add(1, "worker");
  Add(2, "worker");
  // Together they use a core and a half, alone only one is hot.
  const auto found = Seconds(12, {{1, 1.0}, {2, 0.5}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].key.tid, 1);
}

TEST_F(HotThreadTest, ATidThatIsUsedAgainIsAnotherThread) {
  Add(1, "old");
  Seconds(12, {{1, 1.0}});
  Add(1, "new");  // its clock starts at zero
  auto found = Second({{1, 1.0}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].ended);
  EXPECT_EQ(found[0].name, "old");
  found = Seconds(10, {{1, 1.0}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "new");
  EXPECT_GT(found[0].since_ns, 112 * kSecond);
}

TEST_F(HotThreadTest, ThePausesOfABusyMachineAreBridged) {
  Add(1, "worker");
  Seconds(15, {{1, 1.0}});
  const auto found = Seconds(2, {{1, 0.2}});  // somebody else had the core
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].until_ns, 0u);
  EXPECT_EQ(Seconds(5, {{1, 1.0}})[0].since_ns, found[0].since_ns);
}

}  // namespace
}  // namespace sonde
