// SPDX-License-Identifier: Apache-2.0
// What the estimates are worth: many runs of the real sampler over blocks of known sizes. For each
// shape and both sums (bytes and blocks, live and allocated) the z-score of the mean over kRuns
// runs is checked against the standard deviation that the runs themselves show.
//
// False alarms: 4 sums × 7 shapes at |z| < 4.5 (7e-6 each) are 2e-4 a run of this test, if the seed
// were not drawn anew by the sampler at each start, which it is.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "collectors/cpu.h"
#include "collectors/fold.h"
#include "collectors/heap.h"
#include "collectors/safe/heap_sampler.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr double kMaxZ = 4.5;
constexpr int kRuns = 300;

struct Shape {
  const char* name;
  uint64_t interval;
  std::function<uint64_t(std::mt19937_64&)> size;
  int blocks;
};

const Shape kShapes[] = {
    {"all 16 bytes", 4096, [](auto&) { return 16; }, 20'000},
    {"nothing", 512, [](auto&) { return 0; }, 50'000},
    {"of the interval's size", 4096, [](auto&) { return 4095; }, 500},
    {"far above the interval", 1024, [](auto& random) { return 100'000 + random() % 100'000; },
     100},
    {"log-uniform", 8192,
     [](auto& random) {
       return static_cast<uint64_t>(
           std::exp(std::uniform_real_distribution<double>(0, 13)(random)));
     },
     3'000},
    {"bimodal", 16384, [](auto& random) { return random() % 100 == 0 ? 100'000U : 24U; }, 10'000},
    {"one in a thousand is rare", 2048,
     [](auto& random) { return random() % 1000 == 0 ? 3'000U : 100U; }, 10'000},
};

class Moments {
 public:
  void Add(double estimate, double truth) {
    const double error = estimate - truth;
    sum_ += error;
    squares_ += error * error;
    ++count_;
  }
  double Z() const {
    const double mean = sum_ / count_;
    const double variance = squares_ / count_ - mean * mean;
    return variance <= 0 ? (mean == 0 ? 0 : 1e9) : mean / std::sqrt(variance / count_);
  }

 private:
  double sum_ = 0, squares_ = 0;
  int count_ = 0;
};

class Estimates : public testing::Test {
 protected:
  explicit Estimates(uint32_t live_slots = 16384) : region_(RegionCounts{.live = live_slots}) {
    const ThreadId thread = region_.Thread(100);
    EXPECT_TRUE(SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), thread));
  }
  ~Estimates() override { SwitchHeapOff(); }

  // As the hooks do; addresses are made up. Every second block is freed.
  __attribute__((noinline)) void Allocate(uint64_t size, bool keep) {
    next_address_ += 16 + (size & ~uint64_t{15});
    const void* block = reinterpret_cast<const void*>(next_address_);
    if (SampleDue(size)) {
      const uint32_t interval = ChooseSample(size);
      if (interval != 0) RecordBlock(block, size, interval, Kind::kAlloc, ThisHookFrame());
    }
    if (keep) kept_.emplace_back(block, size);
    if (!keep) Free(block);
  }
  static void Free(const void* block) {
    if (MayBeSampled(block)) ForgetBlock(block);
  }
  // Of what was kept every n-th block stays. Their bytes.
  double FreeAllButEvery(size_t n) {
    double left = 0;
    for (size_t i = 0; i < kept_.size(); ++i) {
      const auto& [block, size] = kept_[i];
      if (i % n == 0)
        left += static_cast<double>(size);
      else
        Free(block);
    }
    return left;
  }

  struct Sums {
    double live_bytes = 0, live_blocks = 0, bytes = 0, blocks = 0;
  };
  Sums Run(const Shape& shape, std::mt19937_64& random) {
    Sums truth;
    for (int i = 0; i < shape.blocks; ++i) {
      const uint64_t size = shape.size(random);
      const bool keep = i % 2 == 0;
      Allocate(size, keep);
      truth.bytes += static_cast<double>(size), ++truth.blocks;
      if (keep) truth.live_bytes += static_cast<double>(size), ++truth.live_blocks;
    }
    return truth;
  }
  static Sums Estimated(const HeapReading& reading) {
    Sums sums;
    for (const HeapStack& stack : reading.stacks) {
      sums.live_bytes += static_cast<double>(stack.inuse_bytes);
      sums.live_blocks += static_cast<double>(stack.inuse_objects);
      sums.bytes += static_cast<double>(stack.alloc_bytes);
      sums.blocks += static_cast<double>(stack.alloc_objects);
    }
    return sums;
  }
  // One run with sums of its own.
  std::pair<Sums, Sums> RunAndRead(const Shape& shape, std::mt19937_64& random) {
    interval_ = shape.interval;
    t_heap = {};  // a fresh gap, with fresh entropy, of this interval
    clock_ = now_;
    heap_.Begin(region_.process(), now_);
    g_heap.filter.Clear();
    kept_.clear();
    folder_.AddSink(&heap_, now_ += 1'000'000'000);
    const Sums truth = Run(shape, random);
    folder_.Fold(now_ += 1'000'000'000);
    const HeapReading reading = heap_.Read({});
    folder_.RemoveSink(&heap_, now_);
    EXPECT_TRUE(reading.losses.empty())
        << shape.name << DropReasonName(reading.losses.front().reason);
    return {Estimated(reading), truth};
  }

  // Each shape kRuns times, by a sampler that takes `finer` times as many.
  void ExpectUnbiased(uint64_t finer) {
    for (Shape shape : kShapes) {
      shape.interval = std::max<uint64_t>(shape.interval / finer, 2);
      std::mt19937_64 random(11);
      Moments live_bytes, live_blocks, bytes, blocks;
      for (int run = 0; run < kRuns; ++run) {
        const auto [estimate, truth] = RunAndRead(shape, random);
        live_bytes.Add(estimate.live_bytes, truth.live_bytes);
        live_blocks.Add(estimate.live_blocks, truth.live_blocks);
        bytes.Add(estimate.bytes, truth.bytes);
        blocks.Add(estimate.blocks, truth.blocks);
      }
      // A block of one byte that is left stands for 100,000 then, and comes once in many runs: the
      // mean of kRuns of these sums is not near enough to normal for a z-score.
      const bool too_rare = finer > 1 && std::string(shape.name) == "log-uniform";
      if (!too_rare) {
        EXPECT_LT(std::abs(live_blocks.Z()), kMaxZ) << shape.name;
      }
      EXPECT_LT(std::abs(blocks.Z()), kMaxZ) << shape.name;
      if (std::string(shape.name) == "nothing") continue;  // no bytes at all
      EXPECT_LT(std::abs(live_bytes.Z()), kMaxZ) << shape.name;
      EXPECT_LT(std::abs(bytes.Z()), kMaxZ) << shape.name;
    }
  }

  RegionForTesting region_;
  std::vector<std::pair<const void*, uint64_t>> kept_;
  std::atomic<uint64_t> interval_{0};
  std::atomic<uint64_t> clock_{0};
  uint64_t now_ = 1'000'000'000;
  uint64_t next_address_ = uint64_t{1} << 32;
  Folder folder_{*region_, Folder::Start::kFromNow};
  HeapCollector heap_{*region_};
};

TEST_F(Estimates, AreUnbiasedForEveryShape) { ExpectUnbiased(1); }

// A hundred times as many samples as fit, and nothing is lost: they make room for each other.
class EstimatesInASmallTable : public Estimates {
 protected:
  EstimatesInASmallTable() : Estimates(128) {}
};

TEST_F(EstimatesInASmallTable, AreUnbiasedToo) { ExpectUnbiased(64); }

TEST_F(EstimatesInASmallTable, AreUnbiasedWhenTheWholeIsThinnedAndWhenBlocksGo) {
  std::mt19937_64 random(3);
  const Shape shape{"mixed", 64, [](auto& from) { return from() % 500; }, 1'000};
  Moments live_bytes, left_bytes;
  double entries = 0;
  for (int run = 0; run < kRuns; ++run) {
    const Sums truth = RunAndRead(shape, random).second;
    heap_.ThinLiveTo(16384);
    entries += static_cast<double>(heap_.live_entries());
    live_bytes.Add(Estimated(heap_.Read({})).live_bytes, truth.live_bytes);
    const double left = FreeAllButEvery(8);
    left_bytes.Add(Estimated(heap_.Read({})).live_bytes, left);
  }
  EXPECT_LT(std::abs(live_bytes.Z()), kMaxZ);
  EXPECT_LT(std::abs(left_bytes.Z()), kMaxZ);
  EXPECT_LT(entries / kRuns, 128.0 / 8);
}

TEST_F(EstimatesInASmallTable, WhatWasGivenUpIsNotLookedFor) {
  std::mt19937_64 random(7);
  RunAndRead({"mixed", 64, [](auto& from) { return from() % 500; }, 5'000}, random);
  heap_.ThinLiveTo(16384);
  for (const auto& [block, size] : kept_) Free(block);
  EXPECT_EQ(heap_.Read({}).live_samples, 0U);
  for (const auto& [block, size] : kept_) EXPECT_FALSE(MayBeSampled(block));
}

TEST_F(Estimates, AreExactWhenEverythingIsSampled) {
  std::mt19937_64 random(5);
  const Shape shape{"mixed", 1, [](auto& from) { return from() % 5000; }, 3'000};
  const auto [estimate, truth] = RunAndRead(shape, random);
  EXPECT_EQ(estimate.live_bytes, truth.live_bytes);
  EXPECT_EQ(estimate.live_blocks, truth.live_blocks);
  EXPECT_EQ(estimate.bytes, truth.bytes);
  EXPECT_EQ(estimate.blocks, truth.blocks);
}

TEST_F(Estimates, NoSizeConfusesTheCountdown) {
  interval_ = 4096;
  t_heap = {};
  EXPECT_TRUE(SampleDue(0)) << "a fresh thread begins with nothing left";
  t_heap.gaps[kWhileOn] = 100;
  EXPECT_FALSE(SampleDue(99)) << "a block counts one byte more than its size";
  EXPECT_EQ(t_heap.gaps[kWhileOn], 0U);
  for (const uint64_t size : {~uint64_t{0}, ~uint64_t{0} - 1, uint64_t{1} << 63, uint64_t{100}}) {
    t_heap.gaps[kWhileOn] = 100;
    EXPECT_TRUE(SampleDue(size)) << size;
  }
}

TEST_F(Estimates, AreNotTakenWhileOffAndSaySinceWhen) {
  interval_ = 1;
  SwitchHeapOff();
  t_heap = {};
  EXPECT_EQ(ChooseSample(100), 0U);
  EXPECT_EQ(heap_.Read({}).live_samples, 0U);
}

TEST_F(Estimates, AThreadThatAllocatedWhileOffIsSampledFromTheFirstBlockOn) {
  interval_ = 1;
  SwitchHeapOff();
  t_heap = {};
  for (int i = 0; i < 1000; ++i) Allocate(1'000'000, true);
  EXPECT_EQ(t_heap.random, 0U) << "a thread that was never sampled needs no seed";
  ASSERT_TRUE(SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), ThreadId{}));
  EXPECT_TRUE(SampleDue(16));
  EXPECT_EQ(ChooseSample(16), 1U);
}

TEST_F(Estimates, AGapIsNotUsedUpWhileOff) {
  interval_ = 1 << 20;
  t_heap = {};
  Allocate(16, true);
  const uint64_t gap = t_heap.gaps[kWhileOn];
  SwitchHeapOff();
  for (int i = 0; i < 1000; ++i) Allocate(1'000'000, true);
  ASSERT_TRUE(SwitchHeapOn({*region_, &interval_, &clock_}, region_.process(), ThreadId{}));
  EXPECT_EQ(t_heap.gaps[kWhileOn], gap);
}

TEST_F(Estimates, AnExemptThreadIsNeverSampled) {
  interval_ = 1;
  std::thread([] {
    ExemptThisThread();
    for (int i = 0; i < 10'000; ++i) {
      if (SampleDue(1'000)) {
        EXPECT_EQ(ChooseSample(1'000), 0U);
      }
    }
  }).join();
}

TEST_F(Estimates, OlderBlocksPassTheAgeFilter) {
  interval_ = 1;
  t_heap = {};
  heap_.Begin(region_.process(), 0);
  clock_ = 1'000'000'000;
  Allocate(100, true);
  clock_ = 9'000'000'000;
  Allocate(300, true);
  EXPECT_EQ(heap_.Read({}).live_samples, 2U);
  LiveFilter old;
  old.born_until = LiveTicks(*region_, 5'000'000'000);
  const HeapReading reading = heap_.Read(old);
  ASSERT_EQ(reading.live_samples, 1U);
  EXPECT_EQ(reading.stacks[0].inuse_bytes, 100);
}

}  // namespace
}  // namespace sonde
