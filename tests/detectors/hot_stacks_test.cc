// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_stacks.h"

#include <gtest/gtest.h>

#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

class HotStacksTest : public ::testing::Test {
 protected:
  void Burn(int tid, uint64_t leaf, uint64_t ns) {
    const std::vector<uint64_t> frames = {leaf, 0x1000};
    FoldDelta delta;
    delta.frames = frames;
    delta.thread.pid = 7;
    delta.thread.tid = tid;
    delta.kind = Kind::kCpu;
    delta.events = 1;
    delta.amount = ns;
    stacks_.OnDelta(delta);
  }
  void EndSecond() { stacks_.OnFoldEnd(now_ns_ += kSecond); }

  HotStacks stacks_{0};
  uint64_t now_ns_ = 0;
};

TEST_F(HotStacksTest, KeepExactlyThePeriodOfExactlyTheThread) {
  for (int i = 0; i < 3; ++i) {  // before
    Burn(1, 0xa, kSecond);
    Burn(2, 0xb, kSecond);
    EndSecond();
  }
  const uint64_t since_ns = now_ns_;
  for (int i = 0; i < 2; ++i) {
    Burn(1, 0xc, 3 * kSecond / 4);
    Burn(1, 0xd, kSecond / 4);
    Burn(2, 0xb, kSecond);
    EndSecond();
  }
  stacks_.Hold(7, 1, since_ns);
  for (int i = 0; i < 2; ++i) {
    Burn(1, 0xc, kSecond);
    EndSecond();
  }
  const auto shares = stacks_.StacksOf(7, 1);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].frames[0], 0xcu);
  EXPECT_EQ(shares[0].cpu_ns, 7 * kSecond / 2);
  EXPECT_EQ(shares[1].frames[0], 0xdu);
  EXPECT_EQ(shares[1].cpu_ns, kSecond / 2);
  EXPECT_TRUE(stacks_.StacksOf(7, 3).empty());
}

TEST_F(HotStacksTest, ForgetIdleThreads) {
  Burn(1, 0xa, kSecond / 100);
  EndSecond();
  EXPECT_TRUE(stacks_.LastStackOf(7, 1).empty());
  Burn(1, 0xa, kSecond);
  EndSecond();
  EXPECT_EQ(stacks_.LastStackOf(7, 1), (std::vector<uint64_t>{0xa, 0x1000}));
  EndSecond();
  EXPECT_EQ(stacks_.memory_bytes(), 0u);
}

// Three million samples; the thread sanitizer needs minutes for them.
#ifdef __SANITIZE_THREAD__
constexpr int kLongSeconds = 8;
#else
constexpr int kLongSeconds = 40;
#endif

TEST_F(HotStacksTest, AreBoundedWhateverIsBurnt) {
  for (int second = 0; second < kLongSeconds; ++second) {
    for (int tid = 1; tid < 400; ++tid) {
      for (uint64_t leaf = 0; leaf < 200; ++leaf) Burn(tid, 0x100000 * tid + leaf, kSecond / 200);
    }
    EndSecond();
    if (second == 3) stacks_.Hold(7, 1, 0);
  }
  const size_t bound = HotStacks::kMaxThreads * (HotStacks::kBuckets + 1) *
                       (HotStacks::kMaxStacks * 128 + FunctionSums::kMaxFunctions * 64);
  EXPECT_LT(stacks_.memory_bytes(), bound);
  uint64_t sum_ns = 0;
  for (const StackShare& share : stacks_.StacksOf(7, 1)) sum_ns += share.cpu_ns;
  EXPECT_EQ(sum_ns, kLongSeconds * kSecond);  // what has no stack of its own is in "other"
}

// 500 instructions of one function, and now and then one of another.
TEST(HotStacks, ALoopIsOneStackHoweverManyInstructionsOfItAreSeen) {
  HotStacks stacks(0, [](int, uint64_t pc) { return pc & ~uint64_t{0xfff}; });
  uint64_t now_ns = 0;
  const auto burn = [&](uint64_t leaf) {
    const std::vector<uint64_t> frames = {leaf, 0x700123};
    FoldDelta delta;
    delta.frames = frames;
    delta.thread.pid = 7;
    delta.thread.tid = 1;
    delta.kind = Kind::kCpu;
    delta.events = 1;
    delta.amount = kSecond / 100;
    stacks.OnDelta(delta);
  };
  for (uint64_t second = 0; second < 10; ++second) {
    for (uint64_t i = 0; i < 90; ++i) burn(0x500000 + (second * 90 + i) % 500 * 4);
    for (uint64_t i = 0; i < 10; ++i) burn(0x900000 + i);
    stacks.OnFoldEnd(now_ns += kSecond);
    stacks.Hold(7, 1, 0);
  }
  const auto shares = stacks.StacksOf(7, 1);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].frames[0] & ~uint64_t{0xfff}, 0x500000u);
  EXPECT_EQ(shares[0].cpu_ns, 9 * kSecond);
  EXPECT_EQ(shares[1].cpu_ns, kSecond);
}

// Each second 300 stacks, none twice, all but a tenth through one function: more than there is room
// for.
TEST(HotStacks, WhatHasNoRoomIsStillKnownByItsFunctions) {
  HotStacks stacks(0, [](int, uint64_t pc) { return pc & ~uint64_t{0xfff}; });
  uint64_t now_ns = 0;
  for (uint64_t second = 0; second < 10; ++second) {
    for (uint64_t i = 0; i < 300; ++i) {
      const uint64_t middle = i % 10 == 0 ? 0x1000 : 0x2010;
      const std::vector<uint64_t> frames = {0x100000 + (second * 300 + i) * 0x1000, middle, 0x3123};
      FoldDelta delta;
      delta.frames = frames;
      delta.thread.pid = 7;
      delta.thread.tid = 1;
      delta.kind = Kind::kCpu;
      delta.events = 1;
      delta.amount = kSecond / 300;
      stacks.OnDelta(delta);
    }
    stacks.OnFoldEnd(now_ns += kSecond);
    stacks.Hold(7, 1, 0);
  }
  const auto functions = TellingFunctions(stacks.FunctionsOf(7, 1), 10 * kSecond);
  ASSERT_GE(functions.size(), 2u);
  EXPECT_EQ(functions[0].pc, 0x2000u);
  EXPECT_NEAR(static_cast<double>(functions[0].cpu_ns), 9e9, 1e8);
  EXPECT_EQ(functions[1].pc, 0x3000u);
  EXPECT_NEAR(static_cast<double>(functions[1].cpu_ns), 10e9, 1e8);
}

}  // namespace
}  // namespace sonde
