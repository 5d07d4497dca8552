// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/live_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "collectors/fold.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

class LiveTableTest : public testing::Test {
 protected:
  LiveBlock Block(uint64_t address, uint64_t size = 100) {
    LiveBlock block;
    block.address = address;
    block.process_slot = region_.process().slot;
    block.stack = {7, 3};
    block.tid = 4'194'303;
    block.kind = Kind::kAlloc;
    block.size = size;
    block.birth = 123456;
    block.interval = 512 << 10;
    return block;
  }
  DropReason Add(const LiveBlock& block) {
    bool replaced = false;
    return AddLive(*region_, block, &replaced);
  }
  std::vector<LiveBlock> All() {
    std::vector<LiveBlock> all;
    for (uint32_t i = 0; i < (*region_).counts.live; ++i) {
      LiveBlock block;
      uint64_t word = 0;
      if (ReadLive(*region_, i, &block, &word)) all.push_back(block);
    }
    return all;
  }
  uint32_t process() const { return region_.process().slot; }

  RegionForTesting region_{RegionCounts{.live = 1024}};
};

TEST_F(LiveTableTest, KeepsEveryFieldToItsLimit) {
  LiveBlock block = Block(kMaxLiveAddress - 8, uint64_t{1} << 46);
  block.stack = {kMaxStacks - 1, kStackGenerationMask};
  block.kind = Kind::kMmap;
  block.birth = UINT32_MAX;
  block.interval = UINT32_MAX;
  ASSERT_EQ(Add(block), DropReason::kNone);
  const auto all = All();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].address, block.address);
  EXPECT_EQ(all[0].stack, block.stack);
  EXPECT_EQ(all[0].tid, block.tid);
  EXPECT_EQ(all[0].kind, Kind::kMmap);
  EXPECT_EQ(all[0].size, block.size);
  EXPECT_EQ(all[0].birth, block.birth);
  EXPECT_EQ(all[0].interval, block.interval);
}

TEST_F(LiveTableTest, ABlockIsTakenOnce) {
  ASSERT_EQ(Add(Block(0x1000)), DropReason::kNone);
  EXPECT_FALSE(TakeLive(*region_, process() + 1, 0x1000)) << "of another process";
  EXPECT_FALSE(TakeLive(*region_, process(), 0x1010));
  EXPECT_TRUE(TakeLive(*region_, process(), 0x1000));
  EXPECT_FALSE(TakeLive(*region_, process(), 0x1000));
  EXPECT_TRUE(All().empty());
}

TEST_F(LiveTableTest, AnAddressThatComesAgainWasFreedWithoutUs) {
  ASSERT_EQ(Add(Block(0x2000, 100)), DropReason::kNone);
  bool replaced = false;
  ASSERT_EQ(AddLive(*region_, Block(0x2000, 300), &replaced), DropReason::kNone);
  EXPECT_TRUE(replaced);
  ASSERT_EQ(All().size(), 1U);
  EXPECT_EQ(All()[0].size, 300U);
}

TEST_F(LiveTableTest, AHeldBlockIsCountedAndCannotBeTaken) {
  ASSERT_EQ(Add(Block(0x3000)), DropReason::kNone);
  const uint32_t held = HoldLive(*region_, process(), 0x3000);
  ASSERT_NE(held, kNoLive);
  EXPECT_EQ(All().size(), 1U);
  EXPECT_FALSE(TakeLive(*region_, process(), 0x3000));
  // Meanwhile its address may be another block's.
  ASSERT_EQ(Add(Block(0x3000, 77)), DropReason::kNone);
  ReleaseLive(*region_, held, /*gone=*/true);
  ASSERT_EQ(All().size(), 1U);
  EXPECT_EQ(All()[0].size, 77U);
}

TEST_F(LiveTableTest, AHoldThatEndsWithTheBlockStillThereChangesNothing) {
  ASSERT_EQ(Add(Block(0x3000)), DropReason::kNone);
  ReleaseLive(*region_, HoldLive(*region_, process(), 0x3000), /*gone=*/false);
  EXPECT_TRUE(TakeLive(*region_, process(), 0x3000));
}

TEST_F(LiveTableTest, RefusesAddressesThatItCannotName) {
  EXPECT_EQ(Add(Block(kMaxLiveAddress)), DropReason::kBadSample);
  EXPECT_EQ(Add(Block(0x1004)), DropReason::kBadSample);
}

TEST_F(LiveTableTest, FillsNearlyToTheBrimAndThenSaysSo) {
  uint32_t added = 0;
  for (uint64_t i = 1; i <= 4096; ++i) {
    const DropReason reason = Add(Block(i * 4096 + 16));
    if (reason == DropReason::kNone)
      ++added;
    else
      EXPECT_EQ(reason, DropReason::kLiveTableFull);
  }
  EXPECT_GT(added, 1024U * 9 / 10);
  EXPECT_EQ(All().size(), added);
}

// Each thread has addresses of its own, as an allocator gives them; all meet in the same buckets.
TEST_F(LiveTableTest, LosesNothingUnderThreads) {
  constexpr int kThreads = 4, kRounds = 100'000;
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kRounds; ++i) {
        const uint64_t address = (i % 50 * kThreads + t + 1) * 16;
        if (Add(Block(address)) != DropReason::kNone) ++lost;
        const uint32_t held = i % 3 == 0 ? HoldLive(*region_, process(), address) : kNoLive;
        if (held != kNoLive) ReleaseLive(*region_, held, false);
        if (!TakeLive(*region_, process(), address)) ++lost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(All().empty());
}

TEST_F(LiveTableTest, TheFoldKeepsStacksOfLiveBlocksAndForgetsDeadProcesses) {
  const ThreadId thread = region_.Thread(100);
  StackId stack;
  const auto frames = RegionForTesting::Frames(42);
  const StackContent content{frames.data(), 4, 0};
  ASSERT_EQ(FindOrInsertStack(*region_, content, HashStack(content), WriterOf(thread), &stack),
            DropReason::kNone);
  LiveBlock block = Block(0x5000);
  block.stack = stack;
  ASSERT_EQ(Add(block), DropReason::kNone);
  Folder folder(*region_, Folder::Start::kFromNow, {.idle_folds = 1, .grace_ns = 1});
  uint64_t now = 1'000'000'000;
  for (int i = 0; i < 10; ++i) folder.Fold(now += 1'000'000'000);
  uint64_t out[kMaxDepth];
  uint16_t flags = 0;
  EXPECT_EQ(ReadStack(*region_, stack, out, &flags), 4U);
  EXPECT_EQ(folder.report().live, 1U);
  MarkProcessGone(*region_, region_.process());
  for (int i = 0; i < 10; ++i) folder.Fold(now += 1'000'000'000);
  EXPECT_TRUE(All().empty());
  EXPECT_EQ(ReadStack(*region_, stack, out, &flags), 0U);
}

}  // namespace
}  // namespace sonde
