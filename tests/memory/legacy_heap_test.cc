// SPDX-License-Identifier: Apache-2.0
#include "profile/legacy_heap.h"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace sonde::pprof {
namespace {

constexpr const char* kGperftools =
    "heap profile:  20201: 80300000 [ 20267: 100100000] @ heapprofile\n"
    "   200: 60000000 [   200: 60000000] @ 0x55d4b9548195 0x55d4b95481c6\n"
    " 20000: 20000000 [ 20000: 20000000] @ 0x55d4b9548167 0x55d4b95481c6\n"
    "     1:   300000 [    67: 20100000] @\n"
    "\n"
    "MAPPED_LIBRARIES:\n"
    "55d4b9547000-55d4b9548000 r--p 00000000 00:00 11239597    /srv/leaker\n"
    "55d4b9548000-55d4b9549000 r-xp 00001000 00:00 11239597    /srv/leaker\n";

constexpr const char* kJemalloc =
    "heap_v2/16384\n"
    "  t*: 4593: 19913794 [14599: 290758594]\n"
    "  t0: 4593: 19913794 [14599: 290758594]\n"
    "@ 0x7fe5208a2630 0x55801d641167\n"
    "  t*: 1185: 1213764 [1185: 1213764]\n"
    "  t0: 1185: 1213764 [1185: 1213764]\n"
    "@ 0x7fe5208a2630 0x55801d641195\n"
    "  t*: 2: 655360 [4: 1310720]\n"
    "  t0: 1: 327680 [2: 655360]\n"
    "  t7: 1: 327680 [2: 655360]\n"
    "\n"
    "MAPPED_LIBRARIES:\n"
    "55801d641000-55801d642000 r-xp 00001000 fe:00 11239597                   /srv/leaker\n";

Profile Parsed(std::string_view text) {
  auto profile = ParseLegacyHeap(text);
  EXPECT_TRUE(profile.ok()) << profile.error();
  return std::move(*profile);
}

TEST(LegacyHeap, ReadsGperftoolsProfileOfEveryBlock) {
  const Profile profile = Parsed(kGperftools);
  ASSERT_EQ(profile.samples.size(), 3u);
  EXPECT_EQ(profile.samples[0].values, (std::vector<int64_t>{200, 60000000, 200, 60000000}));
  EXPECT_EQ(profile.samples[2].values, (std::vector<int64_t>{67, 20100000, 1, 300000}));
  EXPECT_TRUE(profile.samples[2].locations.empty());
  EXPECT_EQ(profile.Text(profile.default_sample_type), "inuse_space");
  // Calls are before the return addresses, and inside the mapping.
  const Location& leaf = profile.locations[profile.samples[0].locations[0]];
  EXPECT_EQ(leaf.address, 0x55d4b9548194u);
  ASSERT_NE(leaf.mapping, kNone);
  EXPECT_EQ(profile.Text(profile.mappings[leaf.mapping].file), "/srv/leaker");
  EXPECT_EQ(profile.samples[0].locations[1], profile.samples[1].locations[1]);
}

TEST(LegacyHeap, ReadsJemallocsProfileOfAllThreads) {
  const Profile profile = Parsed(kJemalloc);
  ASSERT_EQ(profile.samples.size(), 2u);
  EXPECT_EQ(profile.period, 16384);
  // 1024 bytes are sampled with 1 - exp(-1/16), about a 16.5th.
  EXPECT_NEAR(static_cast<double>(profile.samples[0].values[2]), 1185 * 16.5, 1185 * 0.2);
  EXPECT_NEAR(static_cast<double>(profile.samples[0].values[3]), 1213764 * 16.5, 1213764 * 0.2);
  // Blocks of twenty intervals are all sampled.
  EXPECT_EQ(profile.samples[1].values, (std::vector<int64_t>{4, 1310720, 2, 655360}));
}

TEST(LegacyHeap, TheOlderHeadTellsTwiceTheInterval) {
  EXPECT_EQ(Parsed("heap profile: 1: 8 [ 1: 8] @ heap/1048576\n 1: 8 [1: 8] @ 0x1\n").period,
            524288);
  EXPECT_EQ(Parsed("heap profile: 1: 8 [ 1: 8] @ heap_v2/524288\n 1: 8 [1: 8] @ 0x1\n").period,
            524288);
}

TEST(LegacyHeap, SaysWhatWasExpectedAndWhere) {
  const auto error = [](std::string_view text) { return ParseLegacyHeap(text).error(); };
  EXPECT_EQ(error("nonsense\n"), "line 1: \"heap profile: …\" or \"heap_v2/N\" was expected");
  EXPECT_EQ(error("heap_v2/0x10\n"), "line 1: \"heap profile: …\" or \"heap_v2/N\" was expected");
  EXPECT_EQ(error("heap_v2/16384\n@ 0x1\n  t*: 1: -8 [0: 0]\n"),
            "line 3: counts and addresses of a stack, or MAPPED_LIBRARIES: was expected");
  EXPECT_EQ(error("heap profile: 1: 8 [ 1: 8] @ heapprofile\n 1: 8 [1: 8] @ 77\n"),
            "line 2: counts and addresses of a stack, or MAPPED_LIBRARIES: was expected");
  EXPECT_EQ(ParseLegacyHeap(kGperftools, {.max_bytes = 10}).error(),
            "a heap profile of at most 10 bytes was expected");
  EXPECT_EQ(ParseLegacyHeap(kGperftools, {.max_stacks = 1}).error(),
            "at most 1 stacks were expected");
}

TEST(LegacyHeap, DeepStacksAreCut) {
  std::string text = "heap profile: 1: 8 [ 1: 8] @ heapprofile\n 1: 8 [1: 8] @";
  for (int i = 1; i <= 5000; ++i) text += " 0x" + std::to_string(i);
  EXPECT_EQ(Parsed(text + "\n").samples[0].locations.size(), LegacyHeapLimits().max_frames);
}

// Whatever the bytes are: an error or a profile whose indexes are in range.
TEST(LegacyHeap, MutatedProfilesNeverFault) {
  std::mt19937_64 random(20261121);
  constexpr std::array<std::string_view, 8> kPieces = {
      "@", "0x", "t*:", "[", "9999999999999999999", "\n", ":", "MAPPED_LIBRARIES:\n"};
  size_t good = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text = round % 2 == 0 ? kGperftools : kJemalloc;
    for (uint64_t i = random() % 6; i > 0; --i) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 40);
          break;
        case 2:
          text.insert(at, kPieces[random() % kPieces.size()]);
          break;
        default:
          text.resize(at);
      }
      if (text.empty()) text = "x";
    }
    const auto profile = ParseLegacyHeap(text);
    if (!profile) {
      ASSERT_FALSE(profile.error().empty());
      continue;
    }
    ++good;
    for (const Sample& sample : profile->samples) {
      ASSERT_EQ(sample.values.size(), profile->sample_types.size());
      for (const uint32_t at : sample.locations) ASSERT_LT(at, profile->locations.size());
    }
    for (const Location& location : profile->locations)
      ASSERT_TRUE(location.mapping == kNone || location.mapping < profile->mappings.size());
  }
  EXPECT_GT(good, 5'000u);
}

}  // namespace
}  // namespace sonde::pprof
