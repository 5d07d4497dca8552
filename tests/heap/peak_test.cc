// SPDX-License-Identifier: Apache-2.0
// The live set at its highest point: what is kept of it, and when it is looked for.
#include <gtest/gtest.h>

#include <vector>

#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kMiB = 1 << 20;

class PeakTest : public testing::Test {
 protected:
  PeakTest() { heap_.Begin(region_.process(), 1); }

  // A block that was sampled exactly, on a stack of `depth` frames that `seed` names.
  void Allocate(uint64_t address, uint64_t bytes, uint64_t seed = 1, uint32_t depth = 4) {
    const std::vector<uint64_t> frames = RegionForTesting::Frames(seed, depth);
    const StackContent content{frames.data(), depth, 0};
    LiveBlock block;
    ASSERT_EQ(
        FindOrInsertStack(*region_, content, HashStack(content), WriterOf(thread_), &block.stack),
        DropReason::kNone);
    block.address = address;
    block.process_slot = region_.process().slot;
    block.kind = Kind::kAlloc;
    block.size = bytes;
    block.interval = 1;
    block.birth = LiveTicks(*region_, 2);
    bool replaced = false;
    ASSERT_EQ(AddLive(*region_, block, &replaced), DropReason::kNone);
    FoldDelta delta;
    delta.frames = frames;
    delta.kind = Kind::kAlloc;
    delta.events = 1;
    delta.amount = bytes;
    heap_.OnDelta(delta);
  }
  void Free(uint64_t address) { ASSERT_TRUE(TakeLive(*region_, region_.process().slot, address)); }
  static int64_t InUse(const HeapReading& reading) {
    int64_t bytes = 0;
    for (const HeapStack& stack : reading.stacks) bytes += stack.inuse_bytes;
    return bytes;
  }

  RegionForTesting region_{RegionCounts{.stacks = 4096, .chunks = 1 << 16, .live = 8192}};
  ThreadId thread_ = region_.Thread(100);
  HeapCollector heap_{*region_};
};

TEST_F(PeakTest, StaysWhenItsBlocksAreGone) {
  Allocate(0x10000, 8 * kMiB, 1);
  Allocate(0x20000, 2 * kMiB, 2);
  heap_.OnFoldEnd(100);
  Free(0x10000);
  Allocate(0x30000, 1 * kMiB, 3);
  heap_.OnFoldEnd(200);
  const HeapPeak& peak = heap_.peak();
  EXPECT_EQ(peak.at_ns, 100U);
  EXPECT_EQ(peak.bytes, static_cast<double>(10 * kMiB));
  ASSERT_EQ(peak.reading.stacks.size(), 2U);
  EXPECT_EQ(peak.reading.stacks[0].frames[0], 1U) << "the heaviest first";
  EXPECT_EQ(peak.reading.stacks[0].inuse_bytes, static_cast<int64_t>(8 * kMiB));
  EXPECT_EQ(peak.reading.live_samples, 2U);
}

TEST_F(PeakTest, ALittleMoreIsNotKeptAndAStepMoreIs) {
  Allocate(0x10000, 100 * kMiB);
  heap_.OnFoldEnd(100);
  Allocate(0x20000, 4 * kMiB);
  heap_.OnFoldEnd(200);
  EXPECT_EQ(heap_.peak().at_ns, 100U);
  Allocate(0x30000, 2 * kMiB);
  heap_.OnFoldEnd(300);
  EXPECT_EQ(heap_.peak().at_ns, 300U);
  EXPECT_EQ(InUse(heap_.peak().reading), static_cast<int64_t>(106 * kMiB));
}

TEST_F(PeakTest, OfALargeHeapAnAbsoluteStepIsEnough) {
  Allocate(0x10000, 100'000 * kMiB);
  heap_.OnFoldEnd(100);
  Allocate(0x20000, 65 * kMiB);
  heap_.OnFoldEnd(200);
  EXPECT_EQ(heap_.peak().at_ns, 200U);
}

TEST_F(PeakTest, BeginsAnewWithTheCollector) {
  Allocate(0x10000, 100 * kMiB);
  heap_.OnFoldEnd(100);
  EXPECT_EQ(heap_.live_entries(), 1U);
  heap_.Begin(region_.process(), 3);
  EXPECT_EQ(heap_.peak().at_ns, 0U);
  EXPECT_TRUE(heap_.peak().reading.stacks.empty());
  EXPECT_EQ(heap_.live_entries(), 0U);
}

TEST_F(PeakTest, WhatDoesNotFitIsLostAndCounted) {
  constexpr uint64_t kStacks = 1000;
  for (uint64_t i = 1; i <= kStacks; ++i) Allocate(i * 0x10000, i * 1024, i, 200);
  heap_.OnFoldEnd(100);
  const HeapReading& reading = heap_.peak().reading;
  EXPECT_LT(reading.stacks.size(), kStacks);
  EXPECT_GT(reading.stacks.size() * 200 * sizeof(uint64_t), HeapCollector::kMaxPeakBytes / 2);
  EXPECT_EQ(reading.stacks[0].frames[0], kStacks);
  ASSERT_EQ(reading.losses.size(), 1U);
  EXPECT_EQ(reading.losses[0].events, kStacks - reading.stacks.size());
  EXPECT_EQ(InUse(reading) + static_cast<int64_t>(reading.losses[0].amount),
            static_cast<int64_t>(kStacks * (kStacks + 1) / 2 * 1024));
}

}  // namespace
}  // namespace sonde
