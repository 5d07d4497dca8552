// SPDX-License-Identifier: Apache-2.0
// The oracle is binutils' readelf, which prints every function of .eh_frame.
#include "profile/function_range.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "profile/decode.h"
#include "profile/frame_text.h"
#include "profile/hex.h"
#include "profile/profile_builder.h"
#include "profile/unnamed.h"
#include "tests/profile/test_util.h"

namespace sonde {
namespace {

namespace fs = std::filesystem;

constexpr char kLibstdcxx[] = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";

// Start -> end.
std::map<uint64_t, uint64_t> RangesOf(const std::string& path) {
  std::map<uint64_t, uint64_t> ranges;
  for (const std::string& line : SplitLines(
           RunCommand("readelf --debug-dump=frames " + path + " 2>/dev/null | grep ' FDE '"))) {
    const size_t at = line.find("pc=");
    const size_t dots = line.find("..", at);
    const auto begin = ParseHex(line.substr(at + 3, dots - at - 3));
    const auto end = ParseHex(line.substr(dots + 2));
    EXPECT_TRUE(begin && end) << line;
    if (*end > *begin) ranges[*begin] = *end;
  }
  return ranges;
}

void ExpectRangesOfReadelf(const std::string& path, size_t at_least) {
  const auto elf = std::move(*ElfFile::Open(std::move(*OpenFile(path))));
  const auto ranges = RangesOf(path);
  for (const auto& [begin, end] : ranges) {
    for (const uint64_t at : {begin, begin + (end - begin) / 2, end - 1}) {
      const auto found = FindFunctionRange(*elf, at);
      ASSERT_TRUE(found) << Hex(at);
      EXPECT_EQ(found->address, begin);
      EXPECT_EQ(found->address + found->size, end);
    }
    if (!ranges.contains(end)) {
      EXPECT_FALSE(FindFunctionRange(*elf, end)) << Hex(end);
    }
  }
  EXPECT_FALSE(FindFunctionRange(*elf, ranges.begin()->first - 1));
  EXPECT_FALSE(FindFunctionRange(*elf, UINT64_MAX));
  EXPECT_GE(ranges.size(), at_least);
}

TEST(FunctionRange, AgreesWithReadelfOnALargeLibrary) { ExpectRangesOfReadelf(kLibstdcxx, 4000); }
TEST(FunctionRange, AgreesWithReadelfOnAPie) { ExpectRangesOfReadelf(SAMPLE_PIE, 8); }
TEST(FunctionRange, AgreesWithReadelfOnAProgramThatIsNoPie) {
  ExpectRangesOfReadelf(SAMPLE_NO_PIE, 8);
}

class Stripped : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/sonde-range-XXXXXX";
    dir_ = mkdtemp(path);
    library_ = dir_ + "/libbare.so";
    std::ofstream(dir_ + "/bare.c")
        << "__attribute__((noinline)) static int hidden(int x) { asm volatile(\"\"); return x; }\n"
        << "int open_one(int x) { return hidden(x) + 1; }\n";
  }
  void TearDown() override { fs::remove_all(dir_); }

  // The link-time address of `hidden`, which the stripped library does not name any more.
  uint64_t Make(const std::string& flags) {
    RunCommand("cc -O1 -shared -fPIC -Wl,--build-id " + flags + " -o " + library_ + " " + dir_ +
               "/bare.c");
    const auto symbol = SplitLines(RunCommand("nm " + library_ + " | grep ' hidden$'")).at(0);
    RunCommand("strip " + library_);
    return *ParseHex(symbol.substr(0, 16));
  }

  Mapping Mapped() {
    auto elf = ElfFile::Open(std::move(*OpenFile(library_)));
    Mapping mapping;
    mapping.path = library_;
    for (const ElfSegment& segment : (*elf)->segments()) {
      if (!segment.executable) continue;
      mapping.start = kBias + segment.address;
      mapping.limit = mapping.start + segment.file_size;
      mapping.offset = segment.offset;
    }
    return mapping;
  }

  static constexpr uint64_t kBias = 0x7f4400000000;
  std::string dir_;
  std::string library_;
};

TEST_F(Stripped, AFunctionHasNoNameButABeginning) {
  const uint64_t hidden = Make("");
  Symbolizer symbolizer({});
  const Symbol symbol = symbolizer.Lookup(Mapped(), kBias + hidden + 2);
  EXPECT_EQ(symbol.name, "");
  EXPECT_EQ(symbol.unnamed_start, hidden);
  EXPECT_EQ(symbol.module_address, hidden + 2);
}

TEST_F(Stripped, AFrameIsCalledByItsBeginningAsInAProfile) {
  const uint64_t hidden = Make("");
  Symbolizer symbolizer({});
  const auto text = [&](uint64_t link) {
    return FrameText(symbolizer.Lookup(Mapped(), kBias + link), Mapped(), kBias + link);
  };
  EXPECT_EQ(text(hidden + 2), UnnamedFunction(library_, hidden));
  EXPECT_EQ(text(hidden), UnnamedFunction(library_, hidden));
  Symbol nothing;
  EXPECT_EQ(FrameText(nothing, Mapped(), Mapped().start + 0x20),
            UnnamedFunction(library_, Mapped().offset + 0x20));
  Symbol named;
  named.name = "open_one";
  named.start = kBias + 0x1000;
  EXPECT_EQ(FrameText(named, Mapped(), kBias + 0x101f), "open_one+0x1f");
}

TEST_F(Stripped, PointersOfEightBytesAreUnderstoodAsWell) {
  const uint64_t hidden = Make("-mcmodel=large");
  Symbolizer symbolizer({});
  EXPECT_EQ(symbolizer.Lookup(Mapped(), kBias + hidden + 2).unnamed_start, hidden);
}

TEST_F(Stripped, AllAddressesOfAFunctionAreOneFunctionOfTheProfile) {
  const uint64_t hidden = Make("");
  ProfileOptions options;
  options.sample_types = {{"samples", "count"}};
  ProfileBuilder builder(std::move(options));
  builder.SetMappings({Mapped()});
  for (const uint64_t offset : {0, 1, 2}) {
    const std::vector<uint64_t> frames = {kBias + hidden + offset};
    const int64_t values[] = {1};
    SampleInput input;
    input.frames = frames;
    input.values = values;
    ASSERT_TRUE(builder.AddSample(input));
  }
  Symbolizer symbolizer({});
  const pprof::Profile profile = builder.Build(&symbolizer);
  ASSERT_EQ(profile.locations.size(), 3u);
  ASSERT_EQ(profile.functions.size(), 1u);
  EXPECT_EQ(profile.Text(profile.functions[0].name), "libbare.so+0x" + Hex(hidden));
  // Or pprof would not look for the true name.
  EXPECT_FALSE(profile.mappings[0].has_functions);
}

TEST_F(Stripped, ADamagedTableNeverGivesARangeWithoutTheAddress) {
  const uint64_t hidden = Make("");
  std::string bytes = ReadWholeFile(library_);
  const auto whole = std::move(*ElfFile::Open(std::move(*OpenFile(library_))));
  const ElfSegment table = whole->eh_frame_header();
  ASSERT_GT(table.file_size, 20u);
  std::mt19937 random(7);
  size_t found = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = bytes;
    for (int i = 0; i < 3; ++i)
      damaged[table.offset + random() % (2 * table.file_size)] ^= static_cast<char>(random());
    const auto elf = ElfFile::Open(OpenText(std::move(damaged)));
    ASSERT_TRUE(elf);
    const auto range = FindFunctionRange(**elf, hidden);
    if (!range) continue;
    ++found;
    EXPECT_LT(hidden - range->address, range->size);
  }
  EXPECT_GT(found, 100u);   // some damage does not matter …
  EXPECT_LT(found, 5000u);  // … and some does
}

TEST(Unnamed, NamesAreKnownAgain) {
  EXPECT_EQ(UnnamedFunction("/usr/lib/libx.so.1", 0x1a2b), "libx.so.1+0x1a2b");
  EXPECT_TRUE(IsUnnamedFunction("libx.so.1+0x1a2b", "/opt/libx.so.1"));
  EXPECT_FALSE(IsUnnamedFunction("libx.so.1+0x", "/opt/libx.so.1"));
  EXPECT_FALSE(IsUnnamedFunction("libx.so.1+0x12g", "/opt/libx.so.1"));
  EXPECT_FALSE(IsUnnamedFunction("liby.so+0x12", "/opt/libx.so.1"));
  EXPECT_FALSE(IsUnnamedFunction("main", "/opt/main"));
}

}  // namespace
}  // namespace sonde
