// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_samples.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

constexpr std::string_view kDump =
    "heap_v2/524288\n"
    "  t*: 3: 1048640 [5: 2097216]\n"
    "  t0: 3: 1048640 [5: 2097216]\n"
    "@ 0x55d4b9548195 0x55d4b95481c6\n"
    "  t*: 1: 64 [1: 64]\n"
    "  t0: 1: 64 [1: 64]\n"
    "@ 0x10 0x20 0x30\n"
    "  t*: 2: 1048576 [4: 2097152]\n"
    "\n"
    "MAPPED_LIBRARIES:\n"
    "@ 0x40\n"
    "  t*: 9: 9 [9: 9]\n";

TEST(ParseJemallocDump, ScalesEachStackByItsMeanSizeAndSkipsSingleThreads) {
  const AllocatorSamples samples = ParseJemallocDump(kDump);
  EXPECT_EQ(samples.problem, "");
  EXPECT_EQ(samples.interval_bytes, 524288);
  ASSERT_EQ(samples.stacks.size(), 2u);
  EXPECT_EQ(samples.stacks[0].frames, (std::vector<uint64_t>{0x55d4b9548195, 0x55d4b95481c6}));
  // 64 bytes of 512 KiB: one sample stands for about 8,066 blocks.
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_objects), 8066, 2);
  EXPECT_NEAR(static_cast<double>(samples.stacks[0].inuse_bytes), 8066 * 64, 100);
  // Blocks of an interval's size: 1 / (1 - 1/e).
  EXPECT_EQ(samples.stacks[1].inuse_objects, 3);
  EXPECT_NEAR(static_cast<double>(samples.stacks[1].inuse_bytes), 1048576 * 1.58198, 10);
  EXPECT_EQ(samples.stacks[1].alloc_objects, 6);
}

TEST(ParseJemallocDump, SaysWhatItDoesNotUnderstand) {
  for (const char* text : {"", "heap_v2/", "heap_v2/0\n", "heap profile: 1: 2 [ 3: 4]\n", "x"})
    EXPECT_NE(ParseJemallocDump(text).problem, "") << text;
}

TEST(ParseJemallocDump, TakesNothingFromDamagedLines) {
  const AllocatorSamples samples = ParseJemallocDump(
      "heap_v2/1024\n  t*: 1: 1 [1: 1]\n@\n  t*: 1: 1 [1: 1]\n@ 0x1\n  t*: 1: "
      "99999999999999999999\n"
      "@ 0xzz 0x2\n  t*: 1: 5 [1: 5]\n@ 0x7\n");
  EXPECT_TRUE(samples.stacks.empty());
}

TEST(ParseJemallocDump, StopsAtItsBound) {
  std::string text = "heap_v2/1024\n";
  for (size_t i = 0; i < kMaxAllocatorStacks + 9; ++i) text += "@ 0x1\n  t*: 1: 5 [0: 0]\n";
  const AllocatorSamples samples = ParseJemallocDump(text);
  EXPECT_EQ(samples.stacks.size(), kMaxAllocatorStacks);
  EXPECT_NE(samples.problem, "");
}

TEST(LookAtSampling, AsksNobodyWhomTheHooksSee) {
  const ProcessMemory memory;
  DetectedAllocator one;
  one.kind = AllocatorKind::kJemalloc;
  one.object = "/x.so";
  one.serves_malloc = true;
  EXPECT_FALSE(LookAtSampling(memory, one, /*hooks_bypassed=*/true).on);  // it cannot be asked
  one.statistics = 1;  // would crash if it were called
  EXPECT_FALSE(LookAtSampling(memory, one, /*hooks_bypassed=*/false).on);
  one.kind = AllocatorKind::kGperftools;
  EXPECT_FALSE(LookAtSampling(memory, one, /*hooks_bypassed=*/false).on);
  EXPECT_EQ(LookAtSampling(memory, one, /*hooks_bypassed=*/false).why_not, "");
  one.kind = AllocatorKind::kGoogleTcmalloc;
  EXPECT_FALSE(LookAtSampling(memory, one, /*hooks_bypassed=*/true).on);
}

TEST(LookAtSampling, SaysWhyOneIsNotAsked) {
  const ProcessMemory memory;
  DetectedAllocator one;
  one.kind = AllocatorKind::kGperftools;
  one.object = "/no/such/library.so";
  one.serves_malloc = true;
  one.statistics = 1;
  const UnseenSampling sampling = LookAtSampling(memory, one, /*hooks_bypassed=*/true);
  EXPECT_FALSE(sampling.on);
  EXPECT_NE(sampling.why_not.find("does not export"), std::string::npos) << sampling.why_not;
}

}  // namespace
}  // namespace sonde
