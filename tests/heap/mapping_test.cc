// SPDX-License-Identifier: Apache-2.0
// Sampled mappings, in pieces: against a model that knows the owner of every page.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <random>
#include <thread>
#include <vector>

#include "collectors/fold.h"
#include "collectors/heap.h"
#include "collectors/safe/heap_math.h"
#include "collectors/safe/mapping_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = kMappingPageBytes;
constexpr uint64_t kBase = uint64_t{1} << 36;

class MappingTest : public testing::Test {
 protected:
  MappingTest() {
    t_heap = {};
    EXPECT_TRUE(
        SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), region_.Thread(100)));
    folder_.AddSink(&heap_, 1);
  }
  ~MappingTest() override {
    folder_.RemoveSink(&heap_, now_);
    SwitchHeapOff();
  }

  // What the hooks do; the kernel is left out.
  void Map(uint64_t low, uint64_t bytes, bool fixed = false) {
    HeldMappings held;
    if (fixed) HoldMappings(low, low + bytes, &held);
    const uint32_t interval = SampleDue(bytes) ? ChooseSample(bytes) : 0;
    ReleaseMappings(held, true);
    ForgetMappings(low, low + bytes);
    if (interval != 0) {
      RecordBlock(reinterpret_cast<void*>(low), bytes, interval, Kind::kMmap, ThisHookFrame());
    }
  }
  static void Unmap(uint64_t low, uint64_t bytes, bool works = true) {
    HeldMappings held;
    HoldMappings(low, low + bytes, &held);
    ReleaseMappings(held, works);
  }
  static void Move(const MappingMove& move, bool works = true) {
    HeldMappings held;
    HoldMappings(move.from, move.from + move.old_bytes, &held);
    if (!works) return ReleaseMappings(held, false);
    ForgetMappings(move.to, move.to + move.new_bytes);
    MoveMappings(held, move);
  }
  uint64_t Live() {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < (*region_).counts.live; ++i) {
      LiveBlock block;
      uint64_t word = 0;
      if (ReadLive(*region_, i, &block, &word)) bytes += block.size;
    }
    return bytes;
  }
  static uint64_t Indexed() {
    uint64_t bytes = 0;
    for (uint32_t slot = 0; slot < g_heap.mappings.used(); ++slot) {
      MappedPiece piece;
      if (g_heap.mappings.Read(slot, &piece)) bytes += piece.high - piece.low;
    }
    return bytes;
  }
  HeapReading Read() {
    folder_.Fold(now_ += 1'000'000'000);
    return heap_.Read({});
  }

  RegionForTesting region_{RegionCounts{.live = 4096}};
  std::atomic<uint64_t> interval_{1};
  std::atomic<uint64_t> clock_{0};
  uint64_t now_ = 1'000'000'000;
  Folder folder_{*region_, Folder::Start::kFromNow};
  HeapCollector heap_{*region_};
};

TEST_F(MappingTest, CountsWhatIsMappedUnderItsOwnKind) {
  Map(kBase, 100 * kPage);
  const HeapReading reading = Read();
  EXPECT_EQ(reading.mapping_samples, 1U);
  EXPECT_EQ(reading.live_samples, 0U);
  int64_t in_use = 0, allocated = 0;
  for (const HeapStack& stack : reading.stacks) {
    EXPECT_EQ(stack.kind, Kind::kMmap);
    in_use += stack.inuse_bytes, allocated += stack.alloc_bytes;
  }
  EXPECT_EQ(in_use, static_cast<int64_t>(100 * kPage));
  EXPECT_EQ(allocated, static_cast<int64_t>(100 * kPage));
}

TEST_F(MappingTest, PartsGoOneByOneAndTheEntryWithTheLast) {
  Map(kBase, 90 * kPage);
  Unmap(kBase + 30 * kPage, 30 * kPage);
  EXPECT_EQ(Live(), 60 * kPage);
  Unmap(kBase, 30 * kPage);
  Unmap(kBase, 60 * kPage);  // nothing of it is left there
  EXPECT_EQ(Live(), 30 * kPage);
  Unmap(kBase - 5 * kPage, 500 * kPage);
  EXPECT_EQ(Live(), 0U);
  EXPECT_EQ(Indexed(), 0U);
  EXPECT_EQ(Read().mapping_samples, 0U);
}

TEST_F(MappingTest, ACallThatFailsLeavesEverything) {
  Map(kBase, 40 * kPage);
  Unmap(kBase + 10 * kPage, 10 * kPage, /*works=*/false);
  Move({kBase, 40 * kPage, kBase + 1000 * kPage, 80 * kPage}, /*works=*/false);
  EXPECT_EQ(Live(), 40 * kPage);
  Unmap(kBase, 40 * kPage);
  EXPECT_EQ(Live(), 0U);
}

TEST_F(MappingTest, WeightsStayWhatTheyWereAtBirth) {
  interval_ = 64 * kPage;
  t_heap = {};
  t_heap.random = 1, t_heap.interval = 64 * kPage;  // the first is sampled
  Map(kBase, 32 * kPage);
  const double weight = SampleWeight(32 * kPage, 64 * kPage);
  EXPECT_GT(weight, 2);
  Unmap(kBase, 31 * kPage);
  const HeapReading reading = Read();
  ASSERT_EQ(reading.mapping_samples, 1U);
  for (const HeapStack& stack : reading.stacks) {
    if (stack.inuse_bytes == 0) continue;
    EXPECT_NEAR(static_cast<double>(stack.inuse_bytes), weight * kPage, 1);
  }
}

TEST_F(MappingTest, GrowthCountsAsAllocatedWhereTheMappingWasMade) {
  Map(kBase, 20 * kPage);
  Move({kBase, 20 * kPage, kBase + 500 * kPage, 70 * kPage});
  const HeapReading reading = Read();
  int64_t in_use = 0, allocated = 0, stacks = 0;
  for (const HeapStack& stack : reading.stacks) {
    in_use += stack.inuse_bytes, allocated += stack.alloc_bytes;
    stacks += stack.alloc_bytes != 0;
  }
  EXPECT_EQ(stacks, 1);
  EXPECT_EQ(in_use, static_cast<int64_t>(70 * kPage));
  EXPECT_EQ(allocated, static_cast<int64_t>(70 * kPage));
  Unmap(kBase + 500 * kPage, 70 * kPage);
  EXPECT_EQ(Live(), 0U);
}

TEST_F(MappingTest, TwoOfOneAddressAreTwo) {
  Map(kBase, 20 * kPage);
  Move({kBase, 20 * kPage, kBase + 500 * kPage, 20 * kPage});
  Map(kBase, 10 * kPage);
  EXPECT_EQ(Live(), 30 * kPage);
}

TEST_F(MappingTest, MadeUpAddressesAreNoBlocks) {
  Map(kBase, 20 * kPage);
  EXPECT_FALSE(MayBeSampled(reinterpret_cast<void*>(kBase)));
}

TEST_F(MappingTest, AFullIndexIsCountedAndHarmsNothing) {
  for (uint64_t i = 0; i < kMaxMappedPieces + 100; ++i) Map(kBase + i * 20 * kPage, 16 * kPage);
  EXPECT_EQ(Indexed(), kMaxMappedPieces * 16 * kPage);
  EXPECT_EQ(Live(), Indexed());
  uint64_t lost = 0;
  for (const FoldLoss& loss : Read().losses) lost += loss.kind == Kind::kLive ? loss.amount : 0;
  EXPECT_EQ(lost, 100 * 16 * kPage);
  Unmap(kBase + 5 * kPage, kPage);  // a second rest, for which there is no room
  EXPECT_EQ(Live(), Indexed());
  Unmap(kBase, (kMaxMappedPieces + 100) * 20 * kPage);
  EXPECT_EQ(Live(), 0U);
}

TEST_F(MappingTest, WhatWasUnmappedWithoutUsIsForgotten) {
  void* real = mmap(nullptr, 64 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  Map(reinterpret_cast<uint64_t>(real), 64 * kPage);
  ForgetUnmapped();
  EXPECT_EQ(Live(), 64 * kPage);
  munmap(real, 64 * kPage);
  ForgetUnmapped();
  EXPECT_EQ(Live(), 0U);
}

// The owner of each page; 0: nobody.
class Model {
 public:
  static constexpr uint64_t kPages = 2000;
  void Set(uint64_t first, uint64_t count, int owner) {
    for (uint64_t i = first; i < first + count; ++i) owners_.at(i) = owner;
  }
  void Move(uint64_t from, uint64_t old_count, uint64_t to, uint64_t new_count) {
    const std::array<int, kPages> before = owners_;
    Set(from, old_count, 0);
    Set(to, new_count, 0);
    for (uint64_t i = 0; i < new_count; ++i) {
      owners_.at(to + i) = i < old_count ? before.at(from + i) : before.at(from + old_count - 1);
    }
  }
  uint64_t Owned() const {
    uint64_t count = 0;
    for (const int owner : owners_) count += owner != 0;
    return count;
  }

 private:
  std::array<int, kPages> owners_ = {};
};

TEST_F(MappingTest, AgreesWithAModelOfEveryPage) {
  std::mt19937 random(3);
  Model model;
  // At most HeldMappings::kMost pieces lie in 60 pages of mappings of 16 and more, mostly.
  for (int step = 1; step < 20'000; ++step) {
    const uint64_t first = random() % 1000, count = 16 + random() % 40;
    const uint64_t low = kBase + first * kPage;
    switch (random() % 4) {
      case 0:
        Map(low, count * kPage, random() % 2 == 0);
        model.Set(first, count, step);
        break;
      case 1:
        Unmap(low, count * kPage);
        model.Set(first, count, 0);
        break;
      case 2:
        Unmap(low, count * kPage, /*works=*/false);
        break;
      case 3: {
        const uint64_t to = 1000 + random() % 900, now = 1 + random() % 80;
        HeldMappings held;
        HoldMappings(low, low + count * kPage, &held);
        ReleaseMappings(held, false);
        if (held.count == HeldMappings::kMost) break;  // the rest would be given up
        Move({low, count * kPage, kBase + to * kPage, now * kPage});
        model.Move(first, count, to, now);
        break;
      }
    }
    ASSERT_EQ(Live(), model.Owned() * kPage) << "step " << step;
    ASSERT_EQ(Indexed(), Live()) << "step " << step;
  }
}

TEST_F(MappingTest, ThreadsWithAddressesOfTheirOwnDoNotMeet) {
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([this, thread] {
      std::mt19937 random(static_cast<unsigned>(thread));
      const uint64_t base = kBase + (thread << 28);
      for (int i = 0; i < 20'000; ++i) {
        const uint64_t low = base + random() % 64 * kPage, bytes = (16 + random() % 32) * kPage;
        if (random() % 2 == 0) {
          Map(low, bytes, true);
        } else {
          Unmap(low, bytes);
        }
      }
      Unmap(base, 256 * kPage);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Live(), 0U);
  EXPECT_EQ(Indexed(), 0U);
}

}  // namespace
}  // namespace sonde
