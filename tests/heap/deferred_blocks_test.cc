// SPDX-License-Identifier: Apache-2.0
// Blocks that came before the tables: each is counted once, on the stack that is found for it
// later, and a free meanwhile finds it; room comes back, and where there is none a block is counted
// at once.
#include "collectors/safe/deferred_blocks.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "collectors/fold.h"
#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/stack_layout.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kAddress = uint64_t{1} << 32;
constexpr uint64_t kBlockBytes = 100;
constexpr uint64_t kWhole = 0xabc;  // the first frame of what is found later

__attribute__((noinline)) void RecordOne(uint64_t address) {
  RecordBlock(reinterpret_cast<const void*>(address), kBlockBytes, 1, Kind::kAlloc,
              ThisHookFrame());
}

// No tables are published in this program, so every block has to wait.
class DeferredBlocksTest : public testing::Test {
 protected:
  DeferredBlocksTest()
      : pool_(static_cast<DeferredBlocks*>(mmap(nullptr, sizeof(DeferredBlocks),
                                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                                -1, 0))),
        folder_(*region_, Folder::Start::kFromNow),
        heap_(*region_) {
    SetStackLayout(FindStackLayout(ProcessMemory()));
    heap_.Begin(region_.process(), 1);
    folder_.AddSink(&heap_, 1);
    SetDeferredBlocks(pool_);
    EXPECT_TRUE(
        SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), region_.Thread(100)));
  }
  ~DeferredBlocksTest() override {
    SwitchHeapOff();
    SetDeferredBlocks(nullptr);
    munmap(pool_, sizeof(DeferredBlocks));
  }

  // Finishes what waits; how many blocks that were.
  size_t FinishAll() {
    size_t count = 0;
    pool_->TakeAll([&](const DeferredBlock& block) {
      std::vector<uint64_t> frames = RegionForTesting::Frames(kWhole);
      FinishBlock(block, {frames.data(), static_cast<uint32_t>(frames.size()), 0});
      ++count;
      return true;
    });
    return count;
  }

  // {allocated, in use} of all stacks that begin with `first_frame`, or of all others.
  std::pair<int64_t, int64_t> Bytes(bool whole) {
    folder_.Fold(2);
    std::pair<int64_t, int64_t> sum;
    for (const HeapStack& stack : heap_.Read({}).stacks) {
      if ((stack.frames[0] == kWhole) != whole) continue;
      sum.first += stack.alloc_bytes;
      sum.second += stack.inuse_bytes;
    }
    return sum;
  }

  using Sums = std::pair<int64_t, int64_t>;
  DeferredBlocks* const pool_;
  RegionForTesting region_{RegionCounts{.live = 16384}};
  std::atomic<uint64_t> interval_{1}, clock_{0};
  Folder folder_;
  HeapCollector heap_;
};

TEST_F(DeferredBlocksTest, ABlockIsCountedOnceOnTheStackThatIsFoundLater) {
  RecordOne(kAddress);
  ASSERT_TRUE(pool_->any());
  EXPECT_EQ(Bytes(/*whole=*/true), Sums(0, 0));
  EXPECT_EQ(Bytes(/*whole=*/false), Sums(0, kBlockBytes)) << "in use at once, with what is known";
  EXPECT_EQ(FinishAll(), 1u);
  EXPECT_FALSE(pool_->any());
  EXPECT_EQ(Bytes(true), Sums(kBlockBytes, kBlockBytes));
  EXPECT_EQ(Bytes(false), Sums(0, 0));
  EXPECT_EQ(FinishAll(), 0u) << "finished twice";
}

TEST_F(DeferredBlocksTest, AFreeMeanwhileFindsItAndLeavesNoGhost) {
  RecordOne(kAddress);
  ForgetBlock(reinterpret_cast<const void*>(kAddress));
  EXPECT_EQ(FinishAll(), 1u);
  EXPECT_EQ(Bytes(true), Sums(kBlockBytes, 0));
}

// The next block at the address is on a stack of its own.
TEST_F(DeferredBlocksTest, AnAddressThatIsUsedAgainKeepsTheStackOfItsNewBlock) {
  RecordOne(kAddress);
  ForgetBlock(reinterpret_cast<const void*>(kAddress));
  SetDeferredBlocks(nullptr);
  RecordOne(kAddress);
  EXPECT_EQ(FinishAll(), 1u);
  EXPECT_EQ(Bytes(true), Sums(kBlockBytes, 0));
  EXPECT_EQ(Bytes(false), Sums(kBlockBytes, kBlockBytes));
}

TEST_F(DeferredBlocksTest, ACopyHoldsTheStackAsItIs) {
  const uint64_t planted = 0x1234567890abcdef;
  volatile uint64_t word = planted;
  RecordOne(kAddress);
  bool found = false;
  pool_->TakeAll([&](const DeferredBlock& block) {
    const auto at = reinterpret_cast<uint64_t>(&word) - block.low;
    EXPECT_EQ(block.registers.gpr[kRsp] % 16, 0u);
    uint64_t copy = 0;
    if (at < block.stack_bytes) std::memcpy(&copy, block.stack() + at, sizeof copy);
    found = copy == planted;
    return true;
  });
  EXPECT_TRUE(found);
}

TEST_F(DeferredBlocksTest, WhatFindsNoRoomIsCountedAtOnceAndRoomComesBack) {
  for (int round = 0; round < 3; ++round) {
    const Sums before = Bytes(false);
    uint64_t blocks = 0;
    while (Bytes(false).first == before.first && blocks <= DeferredBlocks::kPages) {
      RecordOne(kAddress + 16 * ++blocks);
    }
    ASSERT_GE(blocks, DeferredBlocks::kPages / DeferredBlocks::kMostPages);
    ASSERT_LE(blocks, DeferredBlocks::kPages);
    EXPECT_EQ(FinishAll(), blocks - 1);
    for (uint64_t i = 1; i <= blocks; ++i) {
      ForgetBlock(reinterpret_cast<const void*>(kAddress + 16 * i));
    }
  }
  EXPECT_EQ(Bytes(false).second + Bytes(true).second, 0);
}

TEST_F(DeferredBlocksTest, IdlePagesTakeNoMemoryAndThoseInUseStay) {
  const auto resident = [this] {
    std::vector<unsigned char> pages(sizeof(DeferredBlocks) / 4096);
    EXPECT_EQ(mincore(pool_, pages.size() * 4096, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; });
  };
  for (uint64_t i = 1; i <= 20; ++i) RecordOne(kAddress + 16 * i);
  EXPECT_GE(resident(), 20);
  pool_->ReturnMemory();
  EXPECT_EQ(FinishAll(), 20u);
  EXPECT_EQ(Bytes(true), Sums(20 * kBlockBytes, 20 * kBlockBytes));
  pool_->ReturnMemory();
  EXPECT_LE(resident(), 2);  // the bits, and one for what this program allocated meanwhile
}

TEST_F(DeferredBlocksTest, ThreadsPutAndFreeWhileOneTakesAndNothingIsLost) {
  constexpr uint64_t kThreads = 4, kBlocks = 2000, kStays = 8;  // one in kStays is not freed
  std::thread([] { SetStackLayout(FindStackLayout(ProcessMemory())); }).join();
  std::atomic<uint64_t> running{kThreads};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kBlocks; ++i) {
        const uint64_t address = kAddress * (t + 1) + 16 * i;
        RecordOne(address);
        if (i % kStays != 0) ForgetBlock(reinterpret_cast<const void*>(address));
      }
      --running;
    });
  }
  size_t finished = 0;
  while (running != 0) finished += FinishAll();
  for (std::thread& thread : threads) thread.join();
  finished += FinishAll();
  EXPECT_GT(finished, 0u);
  const Sums whole = Bytes(true), partly = Bytes(false);
  EXPECT_EQ(whole.first, static_cast<int64_t>(finished * kBlockBytes));
  EXPECT_EQ(whole.first + partly.first, static_cast<int64_t>(kThreads * kBlocks * kBlockBytes));
  EXPECT_EQ(whole.second + partly.second,
            static_cast<int64_t>(kThreads * kBlocks / kStays * kBlockBytes));
}

// A child that builds tables itself begins with no blocks, although it was forked with some.
TEST_F(DeferredBlocksTest, AChildForgetsItsParentsBlocks) {
  RecordOne(kAddress);
  const pid_t child = fork();
  if (child == 0) {
    pool_->Forget();
    _exit(pool_->any() || FinishAll() != 0 ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(FinishAll(), 1u);
}

}  // namespace
}  // namespace sonde
