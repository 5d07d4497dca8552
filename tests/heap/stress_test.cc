// SPDX-License-Identifier: Apache-2.0
// Many threads record, hold and forget blocks, also each other's, and addresses come again at once,
// while the cold side folds, reads and changes the interval. A second each; SONDE_STRESS_SECONDS
// says how long otherwise. Meant for the thread sanitizer, and for what must be left: nothing.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "collectors/fold.h"
#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr int kThreads = 64;
constexpr size_t kBlocks = 3000;

enum class BlockState : uint8_t { kFree, kBusy, kLive };

std::chrono::seconds HowLong() {
  const char* const text = getenv("SONDE_STRESS_SECONDS");
  return std::chrono::seconds(text != nullptr ? atoi(text) : 1);
}

class HeapStress : public testing::Test {
 protected:
  HeapStress() {
    heap_.Begin(region_.process(), now_ns_);
    folder_.AddSink(&heap_, now_ns_);
    EXPECT_TRUE(
        SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), region_.Thread(100)));
  }
  ~HeapStress() override {
    folder_.RemoveSink(&heap_, now_ns_);
    SwitchHeapOff();
  }

  static const void* AddressOf(size_t index) {
    return reinterpret_cast<const void*>((uint64_t{1} << 33) + index * 32);
  }

  __attribute__((noinline)) static void Allocate(size_t index, uint64_t size) {
    if (!SampleDue(size)) return;
    const uint32_t interval = ChooseSample(size);
    if (interval == 0) return;
    RecordBlock(AddressOf(index), size, interval, Kind::kAlloc, ThisHookFrame());
  }

  static void Free(size_t index) {
    if (MayBeSampled(AddressOf(index))) ForgetBlock(AddressOf(index));
  }

  // As realloc does. False: it failed, and the block is still there.
  static void Reallocate(size_t index, uint64_t size, bool works) {
    const void* const at = AddressOf(index);
    const uint32_t held = MayBeSampled(at) ? HoldBlock(at) : kNoLive;
    ReleaseBlock(at, held, works);
    if (works) Allocate(index, size);
  }

  void Work(uint64_t seed) {
    std::minstd_rand random(static_cast<uint32_t>(seed));
    while (!stop_) {
      const size_t index = random() % kBlocks;
      BlockState state = states_[index];
      if (state == BlockState::kBusy ||
          !states_[index].compare_exchange_strong(state, BlockState::kBusy)) {
        continue;
      }
      if (state == BlockState::kFree) {
        Allocate(index, random() % 500);
        states_[index] = BlockState::kLive;
      } else if (random() % 3 == 0) {
        Reallocate(index, random() % 500, random() % 2 == 0);
        states_[index] = BlockState::kLive;
      } else {
        Free(index);
        states_[index] = BlockState::kFree;
      }
    }
  }

  // The cold side, in this thread.
  void FoldUntil(std::chrono::steady_clock::time_point end) {
    uint64_t turn = 0;
    while (std::chrono::steady_clock::now() < end) {
      clock_ = now_ns_ += 1'000'000'000;
      folder_.Fold(now_ns_);
      const HeapReading reading = heap_.Read({});
      for (const HeapStack& stack : reading.stacks) {
        EXPECT_GE(stack.inuse_bytes, 0);
        EXPECT_GE(stack.inuse_objects, 0);
      }
      constexpr uint64_t kIntervals[] = {1, 64, 4096, 1 << 20};
      interval_ = kIntervals[turn++ % std::size(kIntervals)];
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  RegionForTesting region_{RegionCounts{.live = 16384}};
  std::atomic<uint64_t> interval_{1};
  std::atomic<uint64_t> clock_{0};
  uint64_t now_ns_ = 1'000'000'000;
  Folder folder_{*region_, Folder::Start::kFromNow};
  HeapCollector heap_{*region_};
  std::unique_ptr<std::atomic<BlockState>[]> states_ =
      std::make_unique<std::atomic<BlockState>[]>(kBlocks);
  std::atomic<bool> stop_{false};
};

TEST_F(HeapStress, LeavesNothingBehind) {
  std::vector<std::thread> threads;
  for (uint64_t i = 1; i <= kThreads; ++i) threads.emplace_back([this, i] { Work(i); });
  FoldUntil(std::chrono::steady_clock::now() + HowLong());
  stop_ = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(heap_.Read({}).live_samples, 0U) << "nothing was recorded";
  for (size_t i = 0; i < kBlocks; ++i) {
    if (states_[i] == BlockState::kLive) Free(i);
  }
  folder_.Fold(now_ns_ += 1'000'000'000);
  EXPECT_EQ(heap_.Read({}).live_samples, 0U) << "blocks that were freed are still live";
  size_t suspected = 0;
  for (size_t i = 0; i < kBlocks; ++i) suspected += MayBeSampled(AddressOf(i));
  EXPECT_EQ(suspected, 0U) << "the filter still points at blocks that were freed";
}

}  // namespace
}  // namespace sonde
