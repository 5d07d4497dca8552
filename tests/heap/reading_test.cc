// SPDX-License-Identifier: Apache-2.0
// How the two halves of a reading come together: what is live finds what was allocated by the name
// that the region has for the stack, and by its frames where that name is not known.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kHourNs = 3600 * uint64_t{1'000'000'000};

class ReadingTest : public testing::Test {
 protected:
  ReadingTest() { heap_.Begin(region_.process(), 1); }

  StackId Stack(uint64_t seed) {
    const std::vector<uint64_t> frames = RegionForTesting::Frames(seed, kDepth);
    const StackContent content{frames.data(), kDepth, 0};
    StackId id;
    EXPECT_EQ(FindOrInsertStack(*region_, content, HashStack(content), WriterOf(thread_), &id),
              DropReason::kNone);
    return id;
  }

  void AddLiveBlock(uint64_t address, uint64_t bytes, StackId stack, Kind kind = Kind::kAlloc) {
    LiveBlock block;
    block.stack = stack;
    block.address = address;
    block.process_slot = region_.process().slot;
    block.kind = kind;
    block.size = bytes;
    block.interval = 1;
    block.birth = LiveTicks(*region_, 2);
    bool replaced = false;
    ASSERT_EQ(AddLive(*region_, block, &replaced), DropReason::kNone);
  }

  void AddAllocation(uint64_t bytes, uint64_t seed, StackId name) {
    const std::vector<uint64_t> frames = RegionForTesting::Frames(seed, kDepth);
    FoldDelta delta;
    delta.frames = frames;
    delta.hash = HashStack({frames.data(), kDepth, 0});
    delta.stack = name;
    delta.kind = Kind::kAlloc;
    delta.thread.pid = ReadProcess(*region_, region_.process().slot).pid;
    delta.events = 1;
    delta.amount = bytes;
    heap_.OnDelta(delta);
  }

  void AddBoth(uint64_t address, uint64_t bytes, uint64_t seed) {
    const StackId id = Stack(seed);
    AddLiveBlock(address, bytes, id);
    AddAllocation(bytes, seed, id);
  }

  // Of the stack that begins with this frame, all its entries together.
  static HeapStack SumOf(const HeapReading& reading, uint64_t first_frame) {
    HeapStack sum;
    for (const HeapStack& stack : reading.stacks) {
      if (stack.frames[0] != first_frame) continue;
      sum.inuse_bytes += stack.inuse_bytes;
      sum.alloc_bytes += stack.alloc_bytes;
    }
    return sum;
  }

  static constexpr uint32_t kDepth = 40;
  RegionForTesting region_{RegionCounts{.stacks = 1024, .chunks = 1 << 14, .live = 2048}};
  ThreadId thread_ = region_.Thread(100);
  HeapCollector heap_{*region_};
};

TEST_F(ReadingTest, BothHalvesOfAStackAreOne) {
  for (uint64_t seed = 1; seed <= 300; ++seed) AddBoth(seed << 16, 100 * seed, seed);
  const HeapReading reading = heap_.Read({});
  ASSERT_EQ(reading.stacks.size(), 300U);
  for (const HeapStack& stack : reading.stacks) {
    EXPECT_EQ(stack.inuse_bytes, static_cast<int64_t>(100 * stack.frames[0]));
    EXPECT_EQ(stack.inuse_bytes, stack.alloc_bytes);
  }
}

TEST_F(ReadingTest, BlocksOfOneStackAreAddedUp) {
  AddBoth(0x10000, 100, 1);
  AddLiveBlock(0x20000, 50, Stack(1));
  EXPECT_EQ(heap_.Read({}).stacks.at(0).inuse_bytes, 150);
}

TEST_F(ReadingTest, WhatIsLiveOnAStackOfUnknownNameIsReadFromTheRegion) {
  AddLiveBlock(0x10000, 100, Stack(1));
  AddLiveBlock(0x20000, 50, Stack(1));
  AddAllocation(400, 1, kNoStack);
  const HeapReading reading = heap_.Read({});
  ASSERT_EQ(reading.stacks.size(), 2U);
  EXPECT_EQ(reading.stacks[0].frames, reading.stacks[1].frames);
  EXPECT_EQ(SumOf(reading, 1).inuse_bytes, 150);
  EXPECT_EQ(SumOf(reading, 1).alloc_bytes, 400);
}

TEST_F(ReadingTest, AnotherGenerationOfASlotIsAnotherStack) {
  const StackId id = Stack(1);
  AddLiveBlock(0x10000, 100, id);
  AddAllocation(400, 2, {id.index, id.generation + 1});
  const HeapReading reading = heap_.Read({});
  EXPECT_EQ(SumOf(reading, 1).inuse_bytes, 100);
  EXPECT_EQ(SumOf(reading, 2).inuse_bytes, 0);
  EXPECT_EQ(SumOf(reading, 2).alloc_bytes, 400);
}

TEST_F(ReadingTest, AMappingIsNotABlockOfTheSameStack) {
  AddBoth(0x10000, 100, 1);
  AddLiveBlock(0x20000, 1 << 20, Stack(1), Kind::kMmap);
  const HeapReading reading = heap_.Read({});
  ASSERT_EQ(reading.stacks.size(), 2U);
  EXPECT_EQ(reading.stacks[0].inuse_bytes, 100);
  EXPECT_EQ(reading.stacks[1].kind, Kind::kMmap);
  EXPECT_EQ(reading.stacks[1].inuse_bytes, 1 << 20);
}

TEST_F(ReadingTest, NamesAreForgottenBeforeASlotsGenerationsComeRoundAgain) {
  AddBoth(0x10000, 100, 1);
  heap_.OnFoldEnd(kHourNs / 2);
  EXPECT_EQ(heap_.Read({}).stacks.size(), 1U);
  heap_.OnFoldEnd(2 * kHourNs);
  const HeapReading later = heap_.Read({});
  EXPECT_EQ(later.stacks.size(), 2U) << "the name is not trusted any more";
  EXPECT_EQ(SumOf(later, 1).inuse_bytes, 100);
  EXPECT_EQ(SumOf(later, 1).alloc_bytes, 100);
}

TEST_F(ReadingTest, OutlivesWhatTheCollectorGivesUp) {
  AddBoth(0x10000, 100, 1);
  const HeapReading reading = heap_.Read({});
  heap_.Begin(region_.process(), 2);
  EXPECT_TRUE(std::ranges::equal(reading.stacks.at(0).frames, RegionForTesting::Frames(1, kDepth)));
}

}  // namespace
}  // namespace sonde
