// SPDX-License-Identifier: Apache-2.0
// glibc's heap walked from outside, against what glibc says of itself when nothing moves.
#include <gtest/gtest.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "collectors/allocator_glibc.h"

namespace sonde {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Does not allocate from glibc while it counts: what it allocates is there before and after.
GlibcHeap WalkNow(uint64_t budget_ns = 20'000'000'000) {
  static ProcessMemory memory;
  static ResidentPages pages;
  SurveyOptions options;
  const Survey survey = SurveyMemory(memory, &pages, options);
  return WalkGlibcHeap(memory, &pages, survey.regions, {.deadline_ns = ThreadCpuNs() + budget_ns});
}

// Blocks of log-uniform sizes, of which a part is freed in random order.
class Blocks {
 public:
  explicit Blocks(uint64_t seed) : random_(seed) {}
  ~Blocks() {
    for (void* block : blocks_) free(block);
  }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  void Allocate(int count, double largest) {
    std::uniform_real_distribution<double> exponent(3, std::log2(largest));
    for (int i = 0; i < count; ++i) {
      const auto size = static_cast<size_t>(std::exp2(exponent(random_)));
      blocks_.push_back(malloc(size));
      memset(blocks_.back(), 1, size);
    }
  }
  void FreeShare(double share) {
    for (void*& block : blocks_) {
      if (std::uniform_real_distribution<double>(0, 1)(random_) >= share) continue;
      free(block);
      block = nullptr;
    }
  }

 private:
  std::mt19937_64 random_;
  std::vector<void*> blocks_;
};

void ExpectAgreement(const GlibcHeap& heap, const struct mallinfo2& says) {
  EXPECT_EQ(heap.problem, "");
  const double free_bytes = static_cast<double>(says.fordblks);
  EXPECT_NEAR(static_cast<double>(heap.free_addresses), free_bytes, 0.02 * free_bytes + 65536);
  const double given_out = static_cast<double>(says.uordblks + says.hblkhd);
  EXPECT_NEAR(static_cast<double>(heap.given_out), given_out, 0.02 * given_out + 65536);
  EXPECT_NEAR(static_cast<double>(heap.large_blocks), static_cast<double>(says.hblkhd),
              0.02 * static_cast<double>(says.hblkhd) + 4096);
  printf("free %.1f MiB, glibc says %.1f; given out %.1f, glibc says %.1f; %u arenas\n",
         static_cast<double>(heap.free_addresses) / kMiB, free_bytes / kMiB,
         static_cast<double>(heap.given_out) / kMiB, given_out / kMiB, heap.arenas);
}

TEST(GlibcHeap, AgreesWithGlibcOnAFragmentedMainArena) {
  Blocks blocks(1);
  blocks.Allocate(60'000, 8192);
  blocks.FreeShare(0.5);
  ExpectAgreement(WalkNow(), mallinfo2());
}

TEST(GlibcHeap, CountsFastBinsAsFree) {
  Blocks blocks(2);
  blocks.Allocate(300'000, 100);
  blocks.FreeShare(0.4);
  const struct mallinfo2 says = mallinfo2();
  ASSERT_GT(says.fsmblks, 2 * kMiB) << "the case needs blocks in fast bins";
  const GlibcHeap heap = WalkNow();
  EXPECT_TRUE(heap.main_arena_known);
  ExpectAgreement(heap, says);
}

TEST(GlibcHeap, AgreesOnArenasOfThreads) {
  std::atomic<int> ready = 0;
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (uint64_t seed = 10; seed < 14; ++seed) {
    threads.emplace_back([&, seed] {
      Blocks blocks(seed);
      blocks.Allocate(20'000, 60'000);
      blocks.FreeShare(0.6);
      ++ready;
      while (!stop) std::this_thread::yield();
    });
  }
  while (ready < 4) std::this_thread::yield();
  const GlibcHeap heap = WalkNow();
  const struct mallinfo2 says = mallinfo2();
  EXPECT_GE(heap.arenas, 4u);
  ExpectAgreement(heap, says);
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(GlibcHeap, AgreesOnBlocksWithMappingsOfTheirOwn) {
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  std::vector<std::unique_ptr<char[]>> large;
  malloc_trim(0);
  for (size_t i = 0; i < 8; ++i) {
    const size_t size = 16 * kMiB + i * 77'777;  // too large for what other cases have freed
    large.push_back(std::make_unique<char[]>(size));
    memset(large.back().get(), 1, size);
  }
  const GlibcHeap heap = WalkNow();
  EXPECT_GT(heap.large_blocks, 60 * kMiB);
  ExpectAgreement(heap, mallinfo2());
}

TEST(GlibcHeap, WhatIsFreeAndNotInMemoryIsNoPartOfTheRss) {
  Blocks blocks(3);
  blocks.Allocate(3000, 100'000);
  blocks.FreeShare(0.7);
  const GlibcHeap before = WalkNow();
  malloc_trim(0);
  const GlibcHeap after = WalkNow();
  EXPECT_GT(before.free, 10 * kMiB);
  EXPECT_LT(after.free, before.free / 4) << "trimmed pages are out of memory";
  EXPECT_NEAR(static_cast<double>(before.resident - before.free),
              static_cast<double>(after.resident - after.free), 2.0 * kMiB);
}

TEST(GlibcHeap, SaysHowFarItCameWhenTheBudgetIsUsedUp) {
  Blocks blocks(4);
  blocks.Allocate(400'000, 64);
  const GlibcHeap heap = WalkNow(/*budget_ns=*/1'000'000);
  EXPECT_EQ(heap.problem, "the time for walking the heap was used up");
  EXPECT_LT(heap.walked, heap.total);
}

// The host goes on allocating: the walk may be off, but it ends, and within bounds.
TEST(GlibcHeap, SurvivesAHeapThatIsChangedUnderItsEyes) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (uint64_t seed = 20; seed < 22; ++seed) {
    threads.emplace_back([&, seed] {
      Blocks blocks(seed);
      while (!stop) {
        blocks.Allocate(2000, 20'000);
        blocks.FreeShare(0.9);
      }
    });
  }
  Blocks own(23);
  own.Allocate(20'000, 2000);
  uint32_t complete = 0;
  for (int round = 0; round < 40; ++round) {
    const GlibcHeap heap = WalkNow(100'000'000);
    complete += heap.problem.empty();
    EXPECT_LE(heap.walked, heap.total);
    EXPECT_LE(heap.free, heap.free_addresses + heap.total);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  printf("%u of 40 walks were complete\n", complete);
  EXPECT_GT(complete, 20u);
}

}  // namespace
}  // namespace sonde
