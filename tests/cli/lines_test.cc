// SPDX-License-Identifier: Apache-2.0
// Lines and inlined functions against binutils' addr2line, which has a DWARF reader of its own; and
// what becomes of objects that are split, missing, damaged or too slow.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "cli/add_lines.h"
#include "profile/demangle.h"
#include "profile/elf_file.h"
#include "profile/hex.h"
#include "profile/unnamed.h"

namespace sonde::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBias = 0x7f0000000000;

std::string Shell(const std::string& command) {
  std::string out;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char block[4096];
  for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;) out.append(block, n);
  EXPECT_EQ(pclose(pipe), 0) << command << "\n" << out;
  return out;
}

// A directory with a copy of the sample program in it.
class Lines : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/sonde-lines-XXXXXX";
    dir_ = mkdtemp(path);
    program_ = dir_ + "/program";
    fs::copy_file(SAMPLE_PIE, program_);
    setenv("XDG_CACHE_HOME", (dir_ + "/cache").c_str(), 1);
    unsetenv("DEBUGINFOD_URLS");
  }
  void TearDown() override { fs::remove_all(dir_); }

  // A profile with a location for every third byte of the program's code.
  pprof::Profile Profile() {
    auto source = OpenFile(SAMPLE_PIE);
    const auto elf = std::move(*ElfFile::Open(std::move(*source)));
    pprof::Profile profile;
    pprof::StringTable strings(&profile.strings);
    for (const ElfSegment& segment : elf->segments()) {
      if (!segment.executable) continue;
      const uint64_t start = kBias + (segment.address & ~uint64_t{4095});
      pprof::Mapping mapping;
      mapping.start = start;
      mapping.limit = kBias + segment.address + segment.memory_size;
      mapping.offset = segment.offset & ~uint64_t{4095};
      mapping.file = strings.Intern(program_);
      mapping.build_id = strings.Intern(elf->build_id());
      profile.mappings.push_back(mapping);
      for (uint64_t a = segment.address; a < segment.address + segment.memory_size; a += 3)
        profile.locations.push_back({0, kBias + a, {}, false});
    }
    return profile;
  }

  LineOutcome Add(pprof::Profile* profile, const LineOptions& options = {},
                  const ObjectPlaces& places = {}, const WorkerLimits& limits = {}) {
    return AddLines(options, places, profile, limits);
  }

  std::string dir_;
  std::string program_;
};

using Frame = std::pair<std::string, int64_t>;  // function's plain name and line

std::vector<Frame> FramesOf(const pprof::Profile& profile, const pprof::Location& location) {
  std::vector<Frame> frames;
  for (const pprof::Line& line : location.lines)
    frames.emplace_back(profile.Text(profile.functions[line.function].name), line.line);
  return frames;
}

// One list of frames an address.
std::vector<std::vector<Frame>> AskAddr2line(const pprof::Profile& profile) {
  std::string addresses;
  for (const pprof::Location& location : profile.locations) {
    char text[32];
    snprintf(text, sizeof text, " %#lx", static_cast<unsigned long>(location.address - kBias));
    addresses += text;
  }
  std::istringstream lines(
      Shell(std::string("addr2line -i -f -C -a -e ") + SAMPLE_PIE + addresses));
  std::vector<std::vector<Frame>> answers;
  for (std::string name, place; std::getline(lines, name);) {
    if (name.starts_with("0x")) {
      answers.emplace_back();
      continue;
    }
    std::getline(lines, place);
    const size_t colon = place.rfind(':');
    answers.back().emplace_back(name, atol(place.c_str() + colon + 1));
  }
  return answers;
}

// The symbol table tells "main.cold" from "main", addr2line does not; of two aliases it takes
// another.
bool SameFunction(const std::string& ours, const std::string& theirs) {
  return ours.starts_with(theirs) || (ours == "public_name" && theirs == "__internal_name");
}

// The rest of a function that was split, and inlined into itself, is one frame to us and two to
// addr2line.
std::vector<Frame> WithoutRepeats(std::vector<Frame> frames) {
  const auto same = [](const Frame& a, const Frame& b) { return a.first == b.first; };
  frames.erase(std::unique(frames.begin(), frames.end(), same), frames.end());
  return frames;
}

TEST_F(Lines, AgreeWithAddr2lineInlinedFunctionsIncluded) {
  pprof::Profile profile = Profile();
  const LineOutcome outcome = Add(&profile);
  const auto expected = AskAddr2line(profile);
  ASSERT_EQ(expected.size(), profile.locations.size());
  size_t compared = 0;
  size_t inlined = 0;
  size_t padding = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    // addr2line does not know either, or it is padding behind a function.
    if (expected[i][0].second == 0 || expected[i][0].first == "??") continue;
    const auto frames = WithoutRepeats(FramesOf(profile, profile.locations[i]));
    const auto theirs = WithoutRepeats(expected[i]);
    // Padding behind a function: addr2line counts it to the function.
    if (frames.empty() && ++padding > 0) continue;
    ++compared;
    inlined += theirs.size() > 1;
    ASSERT_EQ(frames.size(), theirs.size()) << std::hex << profile.locations[i].address;
    for (size_t f = 0; f < frames.size(); ++f) EXPECT_EQ(frames[f].second, theirs[f].second);
    EXPECT_TRUE(SameFunction(frames.back().first, theirs.back().first))
        << frames.back().first << " " << theirs.back().first;
  }
  EXPECT_GT(compared, 100u);
  EXPECT_GT(inlined, 0u);
  EXPECT_LT(padding, compared / 5);
  EXPECT_GE(outcome.found, compared);
}

TEST_F(Lines, ComeFromASeparateFileByBuildId) {
  pprof::Profile first = Profile();
  const std::string id = first.Text(first.mappings[0].build_id);
  const std::string debug = dir_ + "/debug/.build-id/" + id.substr(0, 2);
  fs::create_directories(debug);
  Shell("objcopy --only-keep-debug " + program_ + " " + debug + "/" + id.substr(2) + ".debug");
  Shell("strip " + program_);
  pprof::Profile without = Profile();
  EXPECT_EQ(Add(&without).found, 0u);
  pprof::Profile with = Profile();
  LineOptions options;
  options.debug_dirs = {dir_ + "/debug"};
  EXPECT_GT(Add(&with, options).found, 100u);
  // The program itself is gone: its debug file alone will do.
  fs::remove(program_);
  pprof::Profile alone = Profile();
  EXPECT_GT(Add(&alone, options).found, 100u);
}

bool HasMadeUpName(const pprof::Profile& profile, const pprof::Location& location) {
  if (location.lines.empty()) return false;
  const pprof::Function& function = profile.functions[location.lines.back().function];
  return IsUnnamedFunction(profile.Text(function.name), "program");
}

TEST_F(Lines, TrueNamesReplaceThoseMadeOfAnAddress) {
  pprof::Profile profile = Profile();
  const std::string id = profile.Text(profile.mappings[0].build_id);
  const std::string debug = dir_ + "/debug/.build-id/" + id.substr(0, 2);
  fs::create_directories(debug);
  fs::create_directories(dir_ + "/empty");
  Shell("objcopy --only-keep-debug " + program_ + " " + debug + "/" + id.substr(2) + ".debug");
  Shell("strip " + program_);
  EXPECT_TRUE(Add(&profile).changed);
  std::set<std::string> made_up;
  size_t without_name = 0;
  for (const pprof::Location& location : profile.locations) {
    if (!HasMadeUpName(profile, location)) continue;
    ++without_name;
    made_up.insert(FramesOf(profile, location).back().first);
  }
  EXPECT_GT(made_up.size(), 3u);                // functions …
  EXPECT_GT(without_name, 5 * made_up.size());  // … not addresses
  LineOptions options;
  options.debug_dirs = {dir_ + "/empty", dir_ + "/debug"};
  EXPECT_GT(Add(&profile, options).found, 100u);
  for (const pprof::Location& location : profile.locations) {
    EXPECT_FALSE(HasMadeUpName(profile, location)) << std::hex << location.address;
  }
}

// Debian's libc6-dbg: write is split, its rest inlined into itself under a hidden name.
TEST_F(Lines, OfLibcsFunctionsHaveTheNamesThatEverybodyKnows) {
  constexpr char kLibc[] = "/usr/lib/x86_64-linux-gnu/libc.so.6";
  auto elf = std::move(*ElfFile::Open(std::move(*OpenFile(kLibc))));
  const std::string symbol = Shell(std::string("nm -DS ") + kLibc + " | grep ' write@@'");
  const uint64_t start = *ParseHex(symbol.substr(0, 16));
  const uint64_t size = *ParseHex(symbol.substr(17, 16));
  pprof::Profile profile;
  pprof::StringTable strings(&profile.strings);
  pprof::Mapping mapping;
  mapping.start = kBias;
  mapping.limit = kBias + (uint64_t{4} << 20);
  mapping.file = strings.Intern(kLibc);
  mapping.build_id = strings.Intern(elf->build_id());
  profile.mappings.push_back(mapping);
  for (uint64_t a = start; a < start + size; ++a)
    profile.locations.push_back({0, kBias + *elf->AddressToOffset(a), {}, false});
  const LineOutcome outcome = Add(&profile);
  if (outcome.found == 0) GTEST_SKIP() << "libc6-dbg is not installed: " << DescribeLines(outcome);
  size_t inlined = 0;
  for (const pprof::Location& location : profile.locations) {
    const auto frames = FramesOf(profile, location);
    ASSERT_FALSE(frames.empty());
    EXPECT_EQ(frames.back().first, "write");
    inlined += frames.size() > 1;
    for (const Frame& frame : frames) EXPECT_FALSE(frame.first.starts_with("__GI_")) << frame.first;
    for (size_t i = 0; i + 1 < frames.size(); ++i) EXPECT_NE(frames[i].first, "__libc_write");
  }
  EXPECT_LT(inlined, profile.locations.size() / 2);
}

TEST_F(Lines, ComeFromASeparateFileByDebugLink) {
  Shell("objcopy --only-keep-debug " + program_ + " " + dir_ + "/program.debug");
  Shell("strip " + program_);
  Shell("objcopy --add-gnu-debuglink=" + dir_ + "/program.debug " + program_);
  pprof::Profile profile = Profile();
  EXPECT_GT(Add(&profile).found, 100u);
}

TEST_F(Lines, AreNotTakenFromAnotherBuild) {
  fs::copy_file(SAMPLE_NO_PIE, program_, fs::copy_options::overwrite_existing);
  pprof::Profile profile = Profile();
  const LineOutcome outcome = Add(&profile);
  EXPECT_FALSE(outcome.changed);
  ASSERT_FALSE(outcome.problems.empty());
  EXPECT_NE(outcome.problems[0].find("not on this machine with build id"), std::string::npos);
}

TEST_F(Lines, OfAFetchedObjectAreKeptInTheCache) {
  std::ifstream file(program_, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  fs::remove(program_);
  int asked = 0;
  ObjectPlaces places;
  places.fetch = [&](const std::string&, uint64_t offset, size_t size) {
    ++asked;
    return bytes.substr(std::min<size_t>(offset, bytes.size()), size);
  };
  LineOptions on;
  on.mode = "on";
  pprof::Profile profile = Profile();
  EXPECT_EQ(Add(&profile, {}, places).found, 0u);
  EXPECT_EQ(asked, 0);  // only "on" asks the agent
  EXPECT_GT(Add(&profile, on, places).found, 100u);
  const int first = asked;
  pprof::Profile again = Profile();
  EXPECT_GT(Add(&again, on, places).found, 100u);
  EXPECT_EQ(asked, first);
  places.fetch = [](const std::string&, uint64_t, size_t) { return std::string("no ELF"); };
  fs::remove_all(dir_ + "/cache");
  pprof::Profile hostile = Profile();
  EXPECT_EQ(Add(&hostile, on, places).found, 0u);
}

TEST_F(Lines, OfDamagedDebugInformationCostNothingElse) {
  // The same build id, and every byte of the debug sections that could be read is noise.
  std::fstream file(program_, std::ios::in | std::ios::out | std::ios::binary);
  std::istringstream sections(Shell("readelf -SW " + program_));
  for (std::string line; std::getline(sections, line);) {
    char name[64];
    unsigned long offset = 0;
    unsigned long size = 0;
    const size_t at = line.find(".debug_");
    if (at == std::string::npos ||
        sscanf(line.c_str() + at, "%63s PROGBITS %*x %lx %lx", name, &offset, &size) != 3)
      continue;
    file.seekp(static_cast<std::streamoff>(offset));
    for (unsigned long i = 0; i < size; ++i) file.put(static_cast<char>(i * 167 + i / 7));
  }
  file.close();
  pprof::Profile profile = Profile();
  const auto begin = std::chrono::steady_clock::now();
  (void)Add(&profile, {}, {}, WorkerLimits{std::chrono::seconds(5)});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_FALSE(profile.locations[0].lines.empty());  // names are there still
}

TEST_F(Lines, StopWhenTheTimeIsOver) {
  pprof::Profile profile = Profile();
  const LineOutcome outcome = Add(&profile, {}, {}, WorkerLimits{std::chrono::milliseconds(0)});
  EXPECT_EQ(outcome.found, 0u);
  EXPECT_NE(DescribeLines(outcome).find("was over"), std::string::npos) << DescribeLines(outcome);
}

TEST_F(Lines, OfALocationThatHasThemStay) {
  pprof::Profile profile = Profile();
  profile.functions.push_back({0, 0, 0, 0});
  profile.locations[0].lines = {{0, 7}};
  (void)Add(&profile);
  EXPECT_EQ(profile.locations[0].lines, (std::vector<pprof::Line>{{0, 7}}));
}

TEST(ShrinkDirectory, DropsTheLongestUnused) {
  char path[] = "/tmp/sonde-shrink-XXXXXX";
  const std::string dir = mkdtemp(path);
  for (const char* name : {"a", "b", "c"})
    std::ofstream(dir + "/" + name) << std::string(1000, 'x');
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(dir + "/a", now);
  fs::last_write_time(dir + "/b", now - std::chrono::hours(2));
  fs::last_write_time(dir + "/c", now - std::chrono::hours(1));
  ShrinkDirectory(dir, 2000);
  EXPECT_TRUE(fs::exists(dir + "/a"));
  EXPECT_FALSE(fs::exists(dir + "/b"));
  EXPECT_TRUE(fs::exists(dir + "/c"));
  fs::remove_all(dir);
}

TEST(IsBuildId, KeepsPathsAndQueriesOut) {
  EXPECT_TRUE(IsBuildId("0123456789abcdef"));
  EXPECT_FALSE(IsBuildId("../../etc/passwd"));
  EXPECT_FALSE(IsBuildId("ABCDEF0123"));
  EXPECT_FALSE(IsBuildId(""));
}

}  // namespace
}  // namespace sonde::cli
