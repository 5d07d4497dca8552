// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "collectors/allocator_gperftools.h"

namespace sonde {
namespace {

constexpr uint64_t kInterval = 524288;

// As size classes are: a multiple of 16.
size_t Allocated(size_t size, int /*flags*/) { return (size + 15) & ~size_t{15}; }

AllocatorSamples Parse(const std::vector<uint64_t>& words,
                       const GperftoolsRules& rules = {kInterval, nullptr, {}}) {
  return ParseGperftoolsTraces(words, rules);
}

TEST(ParseGperftoolsTraces, WeighsEachSampleByItsOwnSizeAndAddsUpStacks) {
  const AllocatorSamples samples = Parse({1, 64, 2, 0x10, 0x20,      //
                                          1, 524288, 2, 0x10, 0x20,  //
                                          1, 524288, 1, 0x10,        //
                                          0});
  EXPECT_EQ(samples.problem, "");
  EXPECT_EQ(samples.interval_bytes, 524288);
  ASSERT_EQ(samples.stacks.size(), 2u);
  EXPECT_EQ(samples.stacks[0].frames, (std::vector<uint64_t>{0x10, 0x20}));
  // 64 bytes of 512 KiB stand for 8,192.5 blocks; an interval's size for 1 / (1 - 1/e).
  EXPECT_EQ(samples.stacks[0].inuse_objects, 8194);
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_bytes), 8192.5 * 64 + 524288 * 1.581977,
              2);
  EXPECT_EQ(samples.stacks[1].inuse_objects, 2);
  EXPECT_NEAR(static_cast<double>(samples.stacks[1].inuse_bytes), 524288 * 1.581977, 2);
  EXPECT_EQ(samples.stacks[1].alloc_objects, 0);
}

TEST(ParseGperftoolsTraces, WeighsASmallBlockByTheClassThatWasDrawnAndALargeOneAsItIs) {
  const GperftoolsRules rules{kInterval, Allocated, {}};
  const AllocatorSamples samples = Parse({1, 17, 1, 0x10,      //
                                          1, 300001, 1, 0x20,  //
                                          1, 0, 1, 0x30,       //
                                          0},
                                         rules);
  ASSERT_EQ(samples.stacks.size(), 3u);
  EXPECT_EQ(samples.stacks[0].inuse_objects, 16385);  // of 32 bytes: 16,384.5
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_bytes), 16384.5 * 17, 2);
  EXPECT_NEAR(static_cast<double>(samples.stacks[1].inuse_bytes), 300001 * 2.295046517, 2);
  EXPECT_EQ(samples.stacks[2].inuse_objects, 524289);  // of no byte: as of one
  EXPECT_EQ(samples.stacks[2].inuse_bytes, 0);
}

TEST(ParseGperftoolsTraces, TakesBlocksThatWereAddedUpAsOfTheirMeanSize) {
  const AllocatorSamples samples = Parse({3, 3 * 64, 1, 0x10, 0});
  ASSERT_EQ(samples.stacks.size(), 1u);
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_objects), 3 * 8192.5, 1);
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_bytes), 3 * 8192.5 * 64, 2);
}

TEST(ParseGperftoolsTraces, LeavesOutTheAllocatorsOwnFramesAtTheLeafOnly) {
  const GperftoolsRules rules{1, nullptr, {{0x100, 0x200}}};
  const AllocatorSamples samples = Parse({1, 8, 4, 0x90,   0x150,  0x1000, 0x2000,            //
                                          1, 8, 2, 0x1000, 0x2000,                            //
                                          1, 8, 6, 1,      2,      3,      4,      5, 0x150,  //
                                          1, 8, 1, 0x200,                                     //
                                          0},
                                         rules);
  ASSERT_EQ(samples.stacks.size(), 3u);
  EXPECT_EQ(samples.stacks[0].frames, (std::vector<uint64_t>{0x1000, 0x2000}));
  EXPECT_EQ(samples.stacks[0].inuse_objects, 2);
  EXPECT_EQ(samples.stacks[1].frames.size(), 6u);
  EXPECT_EQ(samples.stacks[2].frames, (std::vector<uint64_t>{0x200}));  // nothing else is left
}

TEST(ParseGperftoolsTraces, SaysWhatIsWrongWithADamagedList) {
  const std::vector<uint64_t> whole = {1, 64, 1, 0x10};
  std::vector<std::vector<uint64_t>> ends = {{},         {1},          {1, 2},
                                             {1, 64, 1}, {1, 64, 129}, {1, 64, ~0ULL}};
  for (const auto& end : ends) {
    std::vector<uint64_t> words = whole;
    words.insert(words.end(), end.begin(), end.end());
    const AllocatorSamples samples = Parse(words);
    EXPECT_NE(samples.problem, "");
    EXPECT_EQ(samples.stacks.size(), 1u);
  }
  EXPECT_NE(Parse({}).problem, "");
  EXPECT_EQ(Parse({0}).problem, "");
  EXPECT_EQ(Parse({1, 64, 0, 0}).problem, "524320 bytes have no stack");
}

TEST(ParseGperftoolsTraces, StopsAtItsBound) {
  std::vector<uint64_t> words;
  for (uint64_t i = 0; i < kMaxAllocatorStacks + 9; ++i)
    words.insert(words.end(), {1, 5, 1, i + 1});
  words.push_back(0);
  const AllocatorSamples samples = Parse(words);
  EXPECT_EQ(samples.stacks.size(), kMaxAllocatorStacks);
  EXPECT_NE(samples.problem, "");
}

TEST(ParseGperftoolsTraces, BoundsSumsThatNoProfileCanHold) {
  const AllocatorSamples samples = Parse({~0ULL, ~0ULL, 1, 0x10, ~0ULL, ~0ULL, 1, 0x10, 0});
  ASSERT_EQ(samples.stacks.size(), 1u);
  EXPECT_GT(samples.stacks[0].inuse_bytes, 0);
  EXPECT_GT(samples.stacks[0].inuse_objects, 0);
}

}  // namespace
}  // namespace sonde
