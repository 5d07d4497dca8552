// SPDX-License-Identifier: Apache-2.0
// The oracle is Go's own decoder: `go tool pprof` must read what we build and show what we put in.
#include "profile/profile_builder.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "profile/decode.h"
#include "profile/encode.h"
#include "profile/hex.h"
#include "tests/profile/test_util.h"

namespace sonde {
namespace {

ProfileOptions CpuOptions() {
  ProfileOptions options;
  options.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  options.default_sample_type = "cpu";
  options.period_type = {"cpu", "nanoseconds"};
  options.period = 10'000'000;
  options.time_nanos = 1'700'000'000'000'000'000;
  options.duration_nanos = 30'000'000'000;
  options.comments = {"rate 100 Hz", "nothing dropped"};
  return options;
}

std::string Pprof(const std::string& mode, const std::string& profile) {
  const TempFile file(profile);
  return RunCommand("HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof " + mode + " " + file.path() +
                    " 2>/dev/null");
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

uint64_t AddressOf(const std::string& name) {
  for (const std::string& line : SplitLines(RunCommand(std::string("nm ") + SAMPLE_NO_PIE))) {
    if (line.size() > 19 && line.substr(19) == name) return *ParseHex(line.substr(0, 16));
  }
  throw std::runtime_error("nm does not know " + name);
}

Mapping SampleMapping() {
  auto elf = ElfFile::Open(std::move(*OpenFile(SAMPLE_NO_PIE)));
  Mapping mapping;
  mapping.path = SAMPLE_NO_PIE;
  mapping.build_id = (*elf)->build_id();
  for (const ElfSegment& segment : (*elf)->segments()) {
    if (!segment.executable) continue;
    mapping.start = segment.address;
    mapping.limit = segment.address + ((segment.file_size + 4095) & ~uint64_t{4095});
    mapping.offset = segment.offset;
  }
  return mapping;
}

class BuilderTest : public testing::Test {
 protected:
  BuilderTest() { builder_.SetMappings({SampleMapping()}); }

  bool Add(std::vector<uint64_t> frames, std::array<int64_t, 2> values,
           std::vector<SampleLabel> labels = {}) {
    SampleInput input;
    input.frames = frames;
    input.values = values;
    input.labels = labels;
    return builder_.AddSample(input);
  }
  pprof::Profile Decoded(Symbolizer* symbolizer = nullptr) {
    auto profile = pprof::Decode(builder_.Finish(symbolizer));
    if (!profile) throw std::runtime_error(profile.error());
    return std::move(*profile);
  }

  ProfileBuilder builder_{CpuOptions()};
  Symbolizer symbolizer_{{}};
};

TEST_F(BuilderTest, GoReadsHeaderMappingLabelsAndValues) {
  const uint64_t main = AddressOf("main");
  const uint64_t helper = AddressOf("public_name");
  const SampleLabel labels[] = {{"thread", "worker-3", 0, ""}, {"tid", "", 41, ""}};
  ASSERT_TRUE(Add({helper + 1, main + 8}, {3, 30'000'000}, {labels[0], labels[1]}));
  const std::string raw = Pprof("-raw", builder_.Finish(&symbolizer_));
  EXPECT_TRUE(Has(raw, "PeriodType: cpu nanoseconds\nPeriod: 10000000\n")) << raw;
  EXPECT_TRUE(Has(raw, "Duration: 30")) << raw;
  EXPECT_TRUE(Has(raw, "Time: 2023-11-14")) << raw;
  EXPECT_TRUE(Has(raw, "samples/count cpu/nanoseconds[dflt]")) << raw;
  EXPECT_TRUE(Has(raw, "3   30000000: 1 2")) << raw;
  EXPECT_TRUE(Has(raw, "thread:[worker-3]")) << raw;
  EXPECT_TRUE(Has(raw, "tid:[41]")) << raw;
  EXPECT_TRUE(Has(raw, SampleMapping().build_id + " [FN]")) << raw;
  EXPECT_TRUE(Has(raw, "Comments: rate 100 Hz") || Has(raw, "rate 100 Hz")) << raw;
}

TEST_F(BuilderTest, GosTopShowsOurNamesAndSums) {
  const uint64_t main = AddressOf("main");
  const uint64_t helper = AddressOf("public_name");
  ASSERT_TRUE(Add({helper, main + 8}, {6, 600'000'000}));
  ASSERT_TRUE(Add({helper + 1, main + 12}, {1, 100'000'000}));
  ASSERT_TRUE(Add({main + 4}, {3, 300'000'000}));
  const std::string top = Pprof("-top -nodecount=20", builder_.Finish(&symbolizer_));
  EXPECT_TRUE(Has(top, "700ms 70.00% 70.00%      700ms 70.00%  public_name")) << top;
  EXPECT_TRUE(Has(top, "300ms 30.00%   100%     1000ms   100%  main")) << top;
}

TEST_F(BuilderTest, ReturnAddressesAreMovedBackIntoTheirCallAndTheLeafIsNot) {
  ASSERT_TRUE(Add({0x401500, 0x401600}, {1, 1}));
  const auto profile = Decoded();
  const auto& locations = profile.samples[0].locations;
  EXPECT_EQ(profile.locations[locations[0]].address, 0x401500u);
  EXPECT_EQ(profile.locations[locations[1]].address, 0x4015ffu);
}

TEST_F(BuilderTest, ALeafThatIsAReturnAddressIsMovedBackToo) {
  const uint64_t frames[] = {0x401500};
  const int64_t values[] = {1, 1};
  SampleInput input;
  input.frames = frames;
  input.values = values;
  input.leaf_is_return_address = true;
  ASSERT_TRUE(builder_.AddSample(input));
  EXPECT_EQ(Decoded().locations[0].address, 0x4014ffu);
}

// A call that never returns is the last instruction of its function: its return address lies in the
// next.
TEST_F(BuilderTest, ACallAtTheVeryEndIsChargedToTheFunctionThatMadeIt) {
  const uint64_t next = AddressOf("typed_without_size");
  ASSERT_TRUE(Add({AddressOf("main"), next}, {1, 1}));
  const auto profile = Decoded(&symbolizer_);
  const auto& caller = profile.locations[profile.samples[0].locations[1]];
  EXPECT_EQ(profile.Text(profile.functions[caller.lines[0].function].name), "plain_label");
}

TEST_F(BuilderTest, EqualStacksWithEqualLabelsAreOneSample) {
  ASSERT_TRUE(Add({0x401500, 0x401600}, {1, 10}, {{"thread", "a", 0, ""}}));
  ASSERT_TRUE(Add({0x401500, 0x401600}, {2, 20}, {{"thread", "a", 0, ""}}));
  ASSERT_TRUE(Add({0x401500, 0x401600}, {4, 40}, {{"thread", "b", 0, ""}}));
  const auto profile = Decoded();
  ASSERT_EQ(profile.samples.size(), 2u);
  EXPECT_EQ(profile.samples[0].values, (std::vector<int64_t>{3, 30}));
  EXPECT_EQ(profile.locations.size(), 2u);
}

TEST_F(BuilderTest, NamedFramesStandNearestLeafAndRoot) {
  const std::string_view leaf[] = {"[signal blocked]"};
  const std::string_view root[] = {"[stack truncated]"};
  const uint64_t frames[] = {AddressOf("main")};
  const int64_t values[] = {5, 50};
  SampleInput input;
  input.frames = frames;
  input.leaf_names = leaf;
  input.root_names = root;
  input.values = values;
  ASSERT_TRUE(builder_.AddSample(input));
  const std::string traces = Pprof("-traces", builder_.Finish(&symbolizer_));
  const size_t first = traces.find("[signal blocked]");
  const size_t second = traces.find("main", first);
  const size_t third = traces.find("[stack truncated]", second);
  EXPECT_NE(third, std::string::npos) << traces;
  EXPECT_LT(first, second);
}

TEST_F(BuilderTest, ASampleWithoutAnyAddressIsGoodToo) {
  const std::string_view leaf[] = {"[dropped: table full]"};
  const int64_t values[] = {7, 70'000'000};
  SampleInput input;
  input.leaf_names = leaf;
  input.values = values;
  ASSERT_TRUE(builder_.AddSample(input));
  EXPECT_TRUE(Has(Pprof("-top", builder_.Finish(nullptr)),
                  "70ms   100%   100%       70ms   100%  [dropped: table full]"));
}

TEST_F(BuilderTest, WithoutSymbolsGoCanSymbolizeByTheMapping) {
  ASSERT_TRUE(Add({AddressOf("public_name") + 1}, {1, 10'000'000}));
  const std::string profile = builder_.Finish(nullptr);
  EXPECT_FALSE(Decoded().mappings[0].has_functions);
  EXPECT_TRUE(Has(Pprof("-top -symbolize=local", profile), "public_name"));
}

TEST_F(BuilderTest, TheMainProgramIsTheFirstMappingEvenWithoutSample) {
  Mapping other;
  other.start = 0x100000;
  other.limit = 0x200000;
  other.path = "/usr/lib/libother.so";
  builder_.SetMappings({SampleMapping(), other});
  ASSERT_TRUE(Add({0x150000}, {1, 1}));
  const auto profile = Decoded();
  ASSERT_EQ(profile.mappings.size(), 2u);
  EXPECT_EQ(profile.Text(profile.mappings[0].file), SAMPLE_NO_PIE);
  EXPECT_EQ(profile.Text(profile.mappings[1].file), "/usr/lib/libother.so");
}

TEST_F(BuilderTest, AddressesOfAnotherProcessAreNamedByItsOwnMappings) {
  Mapping elsewhere = SampleMapping();
  elsewhere.start += 0x10000000;
  elsewhere.limit += 0x10000000;
  const size_t child = builder_.AddMappings({elsewhere});
  const uint64_t frames[] = {0x10000000 + AddressOf("public_name")};
  const int64_t values[] = {1, 1};
  SampleInput input;
  input.frames = frames;
  input.values = values;
  input.address_space = child;
  ASSERT_TRUE(builder_.AddSample(input));
  const auto profile = Decoded(&symbolizer_);
  ASSERT_EQ(profile.functions.size(), 1u);
  EXPECT_EQ(profile.Text(profile.functions[0].name), "public_name");
  EXPECT_EQ(profile.locations[0].mapping, 1u);
}

TEST_F(BuilderTest, AForkedChildWithTheSameMappingsSharesLocations) {
  const size_t child = builder_.AddMappings({SampleMapping()});
  const uint64_t frames[] = {AddressOf("main")};
  const int64_t values[] = {1, 1};
  SampleInput input;
  input.frames = frames;
  input.values = values;
  ASSERT_TRUE(builder_.AddSample(input));
  input.address_space = child;
  ASSERT_TRUE(builder_.AddSample(input));
  const auto profile = Decoded(&symbolizer_);
  EXPECT_EQ(profile.mappings.size(), 1u);
  EXPECT_EQ(profile.locations.size(), 1u);
}

TEST_F(BuilderTest, AddressesOutsideEveryMappingAreKept) {
  ASSERT_TRUE(Add({0x7fff00000000, 0}, {1, 1}));
  const auto profile = Decoded(&symbolizer_);
  EXPECT_EQ(profile.locations.size(), 2u);
  for (const auto& location : profile.locations) EXPECT_EQ(location.mapping, pprof::kNone);
  EXPECT_TRUE(Has(Pprof("-raw", builder_.Finish(nullptr)), "0x7fff00000000"));
}

TEST_F(BuilderTest, RefusesSamplesThatDoNotFit) {
  const int64_t one[] = {1};
  SampleInput input;
  input.values = one;
  EXPECT_FALSE(builder_.AddSample(input));
  const int64_t two[] = {1, 2};
  input.values = two;
  input.address_space = 9;
  EXPECT_FALSE(builder_.AddSample(input));
  EXPECT_EQ(builder_.sample_count(), 0u);
}

TEST_F(BuilderTest, TheSameInputGivesTheSameBytes) {
  for (uint64_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(Add({AddressOf("main") + i % 7, 0x401000 + i * 13}, {1, static_cast<int64_t>(i)}));
    if (i == 3) break;
  }
  const std::string first = builder_.Finish(&symbolizer_);
  EXPECT_EQ(first, builder_.Finish(&symbolizer_));
  Symbolizer fresh({});
  EXPECT_EQ(first, builder_.Finish(&fresh));
}

TEST_F(BuilderTest, WhatGoDecodesIsWhatWeDecode) {
  ASSERT_TRUE(Add({AddressOf("main"), 0x401600}, {1, 10}, {{"thread", "a", 0, ""}}));
  ASSERT_TRUE(Add({AddressOf("public_name")}, {2, 20}, {{"bytes", "", 4096, "bytes"}}));
  const std::string profile = builder_.Finish(&symbolizer_);
  // Through Go and back: -proto makes pprof decode and encode the profile itself.
  const TempFile in(profile);
  const TempFile out("");
  RunCommand("HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof -proto -symbolize=none -output=" +
             out.path() + " " + in.path() + " 2>/dev/null");
  EXPECT_EQ(Pprof("-raw", ReadWholeFile(out.path())), Pprof("-raw", profile));
  const auto again = pprof::Decode(ReadWholeFile(out.path()));
  ASSERT_TRUE(again.ok()) << again.error();
  EXPECT_EQ(again->samples.size(), 2u);
}

}  // namespace
}  // namespace sonde
