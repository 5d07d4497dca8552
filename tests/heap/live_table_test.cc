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

TEST_F(LiveTableTest, AnEntryGetsAnotherStackAsLongAsItIsTheSame) {
  const StackId before{7, 3}, after{kMaxStacks - 1, kStackGenerationMask};
  LiveName name;
  bool replaced = false;
  ASSERT_EQ(AddLive(*region_, Block(0x1000), &replaced, &name), DropReason::kNone);
  EXPECT_FALSE(RestackLive(*region_, name, {7, 4}, after)) << "not the stack that it has";
  EXPECT_TRUE(RestackLive(*region_, name, before, after));
  ASSERT_EQ(All().size(), 1U);
  EXPECT_EQ(All()[0].stack, after);
  EXPECT_EQ(All()[0].tid, 4'194'303U);
  EXPECT_EQ(All()[0].kind, Kind::kAlloc);
  ASSERT_TRUE(TakeLive(*region_, process(), 0x1000));
  EXPECT_FALSE(RestackLive(*region_, name, after, before)) << "it is free";
  ASSERT_EQ(Add(Block(0x1000)), DropReason::kNone);
  EXPECT_FALSE(RestackLive(*region_, name, before, after)) << "another block";
  EXPECT_EQ(All()[0].stack, before);
  EXPECT_FALSE(RestackLive(*region_, {}, before, after));
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

TEST_F(LiveTableTest, WhoeverThinsAnEntryComesToTheSameResult) {
  RegionForTesting twin(RegionCounts{.live = 1024});
  for (uint64_t i = 1; i <= 300; ++i) {
    bool replaced = false;
    ASSERT_EQ(Add(Block(i * 4096)), DropReason::kNone);
    ASSERT_EQ(AddLive(*twin, Block(i * 4096), &replaced), DropReason::kNone);
  }
  uint32_t gone = 0;
  for (uint32_t i = 0; i < 1024; ++i) {
    LiveBlock here, there;
    const Thinned result = ThinLive(*region_, i, &here);
    EXPECT_EQ(result, ThinLive(*twin, i, &there));
    gone += result == Thinned::kGone;
    if (result != Thinned::kStays) continue;
    EXPECT_EQ(here.interval, 1024U << 10);
    EXPECT_EQ(here.birth, 123456U);
  }
  EXPECT_GT(gone, 100U);
  EXPECT_EQ(All().size(), 300 - gone);
}

TEST_F(LiveTableTest, ThinsNeitherMappingsNorWhatIsHeldNorWithoutEnd) {
  LiveBlock mapping = Block(0x10000);
  mapping.kind = Kind::kMmap;
  LiveBlock last = Block(0x20000, 1);
  last.interval = kMaxThinnedInterval;
  ASSERT_EQ(Add(mapping), DropReason::kNone);
  ASSERT_EQ(Add(last), DropReason::kNone);
  ASSERT_EQ(Add(Block(0x30000)), DropReason::kNone);
  ASSERT_NE(HoldLive(*region_, process(), 0x30000), kNoLive);
  LiveBlock block;
  for (uint32_t i = 0; i < 1024; ++i) EXPECT_EQ(ThinLive(*region_, i, &block), Thinned::kNot);
  EXPECT_EQ(All().size(), 3U);
}

TEST_F(LiveTableTest, ALargeBlockStaysUntilItIsSmallBesideTheInterval) {
  ASSERT_EQ(Add(Block(0x10000, 1 << 30)), DropReason::kNone);
  LiveBlock block;
  for (int doublings = 0; doublings < 5; ++doublings) {
    for (uint32_t i = 0; i < 1024; ++i) ThinLive(*region_, i, &block);
  }
  ASSERT_EQ(All().size(), 1U);
  EXPECT_EQ(All()[0].interval, 16U << 20);
}

TEST_F(LiveTableTest, AFullTableMakesRoomForEachThatComes) {
  uint32_t gone_for_room = 0, added = 0;
  for (uint64_t i = 1; i <= 20'000; ++i) {
    const LiveBlock block = Block(i * 4096 + 16);
    DropReason reason = Add(block);
    LiveBlock gone;
    if (reason == DropReason::kLiveTableFull && MakeRoomForLive(*region_, block, &gone)) {
      ++gone_for_room;
      EXPECT_NE(gone.address, block.address);
      reason = Add(block);
    }
    added += reason == DropReason::kNone;
  }
  EXPECT_EQ(added, 20'000U);
  EXPECT_EQ(All().size(), 20'000 - gone_for_room);
}

// Blocks come and go while others thin them: each is taken by its own thread or given up by one of
// the thinners, never both and never neither.
TEST_F(LiveTableTest, ThinningUnderThreadsLosesNoBlockTwice) {
  constexpr uint64_t kWorkers = 3, kAtOnce = 64, kEnough = 1000, kMost = 50'000'000;
  std::atomic<uint64_t> added{0}, taken{0}, given_up{0};
  std::atomic<bool> done{false};
  const auto thin_all = [&] {
    while (!done) {
      for (uint32_t i = 0; i < 1024; ++i) {
        LiveBlock block;
        given_up += ThinLive(*region_, i, &block) == Thinned::kGone;
      }
    }
  };
  const auto work = [&](uint64_t worker) {
    const auto address_of = [&](uint64_t round) {
      return ((round % kAtOnce) * kWorkers + worker + 1) * 16;
    };
    uint64_t rounds = 0;
    for (; given_up < kEnough && rounds < kMost; ++rounds) {
      if (rounds >= kAtOnce) taken += TakeLive(*region_, process(), address_of(rounds));
      added += Add(Block(address_of(rounds))) == DropReason::kNone;
    }
    for (uint64_t i = 0; i < kAtOnce; ++i)
      taken += TakeLive(*region_, process(), address_of(rounds + i));
  };
  std::vector<std::thread> thinners, workers;
  for (int i = 0; i < 2; ++i) thinners.emplace_back(thin_all);
  for (uint64_t worker = 0; worker < kWorkers; ++worker) workers.emplace_back(work, worker);
  for (std::thread& thread : workers) thread.join();
  done = true;
  for (std::thread& thread : thinners) thread.join();
  EXPECT_EQ(taken + given_up, added);
  EXPECT_GE(given_up, kEnough);
  EXPECT_TRUE(All().empty());
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
