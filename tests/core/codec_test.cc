// SPDX-License-Identifier: Apache-2.0
// Steps as bytes and back; with too little room; from hostile bytes.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "collectors/fold_codec.h"
#include "collectors/safe/stack_table.h"

namespace sonde {
namespace {

struct Decoded : StepVisitor {
  void OnSample(const FoldDelta& delta) override {
    EXPECT_FALSE(delta.frames.empty());
    EXPECT_LE(delta.frames.size(), kMaxDepth);
    std::string key = delta.thread.name;
    for (const uint64_t frame : delta.frames) key += " " + std::to_string(frame);
    sums[key + " flags " + std::to_string(delta.flags)] += delta.events;
    amount += delta.amount;
    events += delta.events;
  }
  void OnLoss(const FoldLoss& loss) override {
    lost[loss.reason] += loss.events;
    amount += loss.amount;
  }
  std::map<std::string, uint64_t> sums;
  std::map<DropReason, uint64_t> lost;
  uint64_t amount = 0;
  uint64_t events = 0;
};

class Codec : public testing::Test {
 protected:
  // Stacks of all depths with common roots, some in several threads.
  void Fill(int stacks) {
    for (int i = 0; i < stacks; ++i) {
      std::vector<uint64_t> frames;
      const uint64_t depth = 1 + random_() % 60;
      for (uint64_t j = 0; j < depth; ++j)
        frames.push_back(0x7f0000000000 + (depth - j) * 4096 + (j < 4 ? random_() % 8 : 0));
      FoldDelta delta;
      delta.frames = frames;
      delta.flags = static_cast<uint16_t>(random_() % 3);
      delta.hash = HashStack({frames.data(), static_cast<uint32_t>(frames.size()), delta.flags});
      delta.thread.pid = 7;
      delta.thread.tid = static_cast<int32_t>(random_() % 5);
      delta.thread.slot = static_cast<uint32_t>(delta.thread.tid);
      delta.thread.name[0] = static_cast<char>('a' + delta.thread.tid);
      delta.kind = Kind::kCpu;
      delta.events = 1 + random_() % 100;
      delta.amount = delta.events * 10'000'000;
      counts_.Add(delta);
      expected_.OnSample(delta);
    }
    counts_.Lose(Kind::kCpu, DropReason::kStackTableFull, 3, 30);
    expected_.OnLoss({Kind::kCpu, DropReason::kStackTableFull, 3, 30});
  }

  std::mt19937_64 random_{11};
  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
  Decoded expected_;
};

TEST_F(Codec, GivesBackWhatItWasGiven) {
  Fill(2000);
  const auto bytes = EncodeStep(counts_, {123, 100, GapReason::kSetting}, 1 << 20);
  StepFacts facts;
  Decoded decoded;
  ASSERT_TRUE(DecodeStep(bytes, &facts, &decoded));
  EXPECT_EQ(facts.covered_ns, 123u);
  EXPECT_EQ(facts.rate_hz, 100u);
  EXPECT_EQ(facts.gap, GapReason::kSetting);
  EXPECT_EQ(decoded.sums, expected_.sums);
  EXPECT_EQ(decoded.lost, expected_.lost);
  EXPECT_EQ(decoded.amount, expected_.amount);
}

TEST_F(Codec, LeavesOutTheLightestWhenRoomIsShort) {
  Fill(2000);
  for (const size_t room : {8192, 1024, 256, 40}) {
    const auto bytes = EncodeStep(counts_, {}, room);
    ASSERT_LE(bytes.size(), room);
    StepFacts facts;
    Decoded decoded;
    ASSERT_TRUE(DecodeStep(bytes, &facts, &decoded));
    EXPECT_EQ(decoded.amount, expected_.amount) << "something was lost uncounted";
    EXPECT_EQ(decoded.events + decoded.lost[DropReason::kReaderFull], expected_.events);
    if (room < 8192) continue;
    uint64_t heaviest = 0;
    for (const auto& [stack, events] : expected_.sums) heaviest = std::max(heaviest, events);
    for (const auto& [stack, events] : expected_.sums) {
      EXPECT_TRUE(events < heaviest || decoded.sums.contains(stack));
    }
  }
}

// Waiting is measured in nanoseconds of many threads, allocations in bytes: neither may push CPU
// time out.
class Fairness : public testing::Test {
 protected:
  void Add(Kind kind, uint64_t stack, uint64_t amount) {
    const uint64_t frames[] = {0x1000 + stack, 0x2000};
    FoldDelta delta;
    delta.frames = frames;
    delta.hash = HashStack({frames, 2, 0});
    delta.kind = kind;
    delta.events = 1;
    delta.amount = amount;
    counts_.Add(delta);
  }
  void Fill() {
    for (uint64_t i = 0; i < 600; ++i) Add(Kind::kWaitCondition, i, 10'000'000'000 + i);
    for (uint64_t i = 0; i < 100; ++i) Add(Kind::kCpu, i, 10'000'000 + i);
    for (uint64_t i = 0; i < 10; ++i) Add(Kind::kThread, i, 1);
  }
  static std::map<Kind, size_t> Kinds(const std::vector<FoldCounts::Entry>& entries) {
    std::map<Kind, size_t> kinds;
    for (const FoldCounts::Entry& entry : entries) ++kinds[entry.kind];
    return kinds;
  }

  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
};

TEST_F(Fairness, WhatIsGivenUpIsOfWhoHasMost) {
  Fill();
  counts_.ShedLightHalf();
  EXPECT_EQ(Kinds(counts_.Entries()),
            (std::map<Kind, size_t>{
                {Kind::kCpu, 100}, {Kind::kThread, 10}, {Kind::kWaitCondition, 245}}));
  counts_.ShedLightHalf();  // to 177
  EXPECT_EQ(
      Kinds(counts_.Entries()),
      (std::map<Kind, size_t>{{Kind::kCpu, 83}, {Kind::kThread, 10}, {Kind::kWaitCondition, 83}}));
  for (const FoldCounts::Entry& entry : counts_.Entries()) {
    EXPECT_TRUE(entry.kind != Kind::kCpu || entry.amount >= 10'000'017U);
  }
}

TEST_F(Fairness, AStepWithoutRoomLeavesOutOfWhoHasMost) {
  Fill();
  const auto bytes = EncodeStep(counts_, {}, 2500);
  struct Kept : StepVisitor {
    void OnSample(const FoldDelta& delta) override { ++kinds[delta.kind]; }
    void OnLoss(const FoldLoss&) override {}
    std::map<Kind, size_t> kinds;
  } kept;
  StepFacts facts;
  ASSERT_TRUE(DecodeStep(bytes, &facts, &kept));
  EXPECT_EQ(kept.kinds[Kind::kThread], 10U);
  EXPECT_GE(kept.kinds[Kind::kCpu], 50U);
  EXPECT_LE(kept.kinds[Kind::kCpu], kept.kinds[Kind::kWaitCondition]);
}

TEST_F(Codec, SurvivesHostileBytes) {
  Fill(60);
  const auto bytes = EncodeStep(counts_, {}, 1 << 20);
  int refused = 0;
  for (int round = 0; round < 30'000; ++round) {
    auto broken = bytes;
    broken.resize(random_() % (bytes.size() + 1));
    for (uint64_t flips = random_() % 6; flips > 0 && !broken.empty(); --flips)
      broken[random_() % broken.size()] = static_cast<uint8_t>(random_());
    StepFacts facts;
    Decoded decoded;
    refused += !DecodeStep(broken, &facts, &decoded);
    EXPECT_LE(decoded.sums.size(), broken.size());
  }
  EXPECT_GT(refused, 25'000);
}

}  // namespace
}  // namespace sonde
