// SPDX-License-Identifier: Apache-2.0
#include "collectors/thread_creators.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "collectors/safe/sys.h"
#include "collectors/safe/thread_origins.h"

namespace sonde {
namespace {

FoldDelta Made(int pid, uint64_t hash, const uint64_t& frame, uint64_t threads) {
  FoldDelta delta;
  delta.frames = {&frame, 1};
  delta.hash = hash;
  delta.thread.pid = pid;
  delta.kind = Kind::kThread;
  delta.events = threads;
  return delta;
}

TEST(ThreadCreators, CountsByProcessAndStack) {
  ThreadCreators creators;
  creators.OnDelta(Made(1, 10, 0xaaa, 3));
  creators.OnDelta(Made(1, 10, 0xaaa, 2));
  creators.OnDelta(Made(2, 10, 0xaaa, 7));
  FoldDelta cpu = Made(1, 11, 0xbbb, 9);
  cpu.kind = Kind::kCpu;
  creators.OnDelta(cpu);
  ASSERT_NE(creators.Find(1, 10), nullptr);
  EXPECT_EQ(creators.Find(1, 10)->made, 5U);
  EXPECT_EQ(creators.Find(1, 10)->frames, std::vector<uint64_t>{0xaaa});
  EXPECT_EQ(creators.Find(2, 10)->made, 7U);
  EXPECT_EQ(creators.Find(1, 11), nullptr);
  EXPECT_EQ(creators.made(), 12U);
}

TEST(ThreadCreators, WhenFullThoseWithoutLivingThreadsGoOldestFirstAndAreCounted) {
  ThreadCreators creators;
  for (uint64_t i = 0; i < ThreadCreators::kMaxStacks; ++i) {
    creators.OnDelta(Made(1, 100 + i, 0x1000 + i, 1));
    creators.OnFoldEnd(i + 1);
  }
  creators.SetLive({{{1, 100}, 4}});
  creators.OnDelta(Made(1, 5, 0x5, 1));
  EXPECT_EQ(creators.all().size(), ThreadCreators::kMaxStacks);
  ASSERT_NE(creators.Find(1, 100), nullptr);
  EXPECT_EQ(creators.Find(1, 100)->live, 4U);
  EXPECT_EQ(creators.Find(1, 101), nullptr);
  EXPECT_NE(creators.Find(1, 5), nullptr);
  EXPECT_EQ(creators.lost().at(DropReason::kReaderFull), 1U);
}

class Origins : public ::testing::Test {
 protected:
  std::map<int, uint64_t> Sweep() {
    std::map<int, uint64_t> live;
    for (uint32_t slot = 0; slot < ThreadOrigins::kSlots; ++slot) {
      ThreadOrigin origin;
      if (SweepThreadOrigin(origins_.get(), slot, &origin)) live[origin.tid] = origin.stack;
    }
    return live;
  }
  std::unique_ptr<ThreadOrigins> origins_ = std::make_unique<ThreadOrigins>();
  const int pid_ = getpid();
};

TEST_F(Origins, ALivingThreadStaysHoweverManyEndMeanwhile) {
  std::atomic<bool> end{false};
  std::atomic<int> tid{0};
  std::thread stays([&] {
    EnterThreadOrigin(origins_.get(), pid_, sys::Gettid(), 42);
    tid = sys::Gettid();
    while (!end) usleep(1000);
  });
  while (tid == 0) usleep(100);
  for (uint64_t i = 0; i < 3 * ThreadOrigins::kSlots; ++i) {
    std::thread([&] { EnterThreadOrigin(origins_.get(), pid_, sys::Gettid(), 1000 + i); }).join();
  }
  EXPECT_EQ(FindThreadOrigin(origins_.get(), pid_, tid), 42U);
  EXPECT_EQ(origins_->lost.Load(), 0U);
  const std::map<int, uint64_t> swept = Sweep();
  EXPECT_EQ(swept, (std::map<int, uint64_t>{{tid.load(), 42}}));
  end = true;
  stays.join();
  EXPECT_TRUE(Sweep().empty());
  EXPECT_EQ(FindThreadOrigin(origins_.get(), pid_, tid), 0U);
}

TEST_F(Origins, ATidThatIsUsedAgainHasItsNewCreator) {
  const int tid = sys::Gettid();
  EnterThreadOrigin(origins_.get(), pid_, tid, 1);
  EnterThreadOrigin(origins_.get(), pid_, tid, 2);
  EXPECT_EQ(FindThreadOrigin(origins_.get(), pid_, tid), 2U);
  EXPECT_EQ(Sweep().size(), 1U);
}

TEST_F(Origins, WhereAllLiveTheNewOneIsLostAndCounted) {
  const int tid = sys::Gettid();
  // Living threads of another kind in all places of this tid's group: process 1, thread 1.
  const uint32_t group = static_cast<uint32_t>(tid) %
                         (ThreadOrigins::kSlots / ThreadOrigins::kWays) * ThreadOrigins::kWays;
  for (uint32_t way = 0; way < ThreadOrigins::kWays; ++way) {
    origins_->slots[group + way].who.Store(uint64_t{1} << 33 | uint64_t{1} << 2);
  }
  EnterThreadOrigin(origins_.get(), pid_, tid, 9);
  EXPECT_EQ(FindThreadOrigin(origins_.get(), pid_, tid), 0U);
  EXPECT_EQ(origins_->lost.Load(), 1U);
}

}  // namespace
}  // namespace sonde
