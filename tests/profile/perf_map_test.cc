// SPDX-License-Identifier: Apache-2.0
#include "profile/perf_map.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "profile/symbolizer.h"

namespace sonde {
namespace {

std::vector<std::string> NamesIn(const std::string& text, const std::vector<uint64_t>& addresses) {
  std::vector<std::string> names;
  std::vector<PerfMapQuery> queries;
  for (const uint64_t address : addresses) queries.push_back({address});
  for (const PerfMapName& found : LookUpPerfMap(*OpenText(text), queries))
    names.push_back(found.name);
  return names;
}

using Names = std::vector<std::string>;

TEST(LookUpPerfMap, KnowsWhereCodeBeginsAndEnds) {
  EXPECT_EQ(NamesIn("1000 20 LazyCompile:*burn /srv/app.js:1:1\n2000 10 other\n",
                    {0xfff, 0x1000, 0x101f, 0x1020, 0x2008}),
            (Names{"", "LazyCompile:*burn /srv/app.js:1:1", "LazyCompile:*burn /srv/app.js:1:1", "",
                   "other"}));
}

TEST(LookUpPerfMap, TheLaterLineCounts) {
  EXPECT_EQ(NamesIn("1000 100 old\n1080 10 new\n", {0x1000, 0x1080, 0x10ff}),
            (Names{"old", "new", "old"}));
}

TEST(LookUpPerfMap, OfThePastIsWhatWasWrittenByThen) {
  const std::string first = "1000 100 first\n", second = "1000 80 second\n";
  const uint64_t one = first.size(), two = one + second.size();
  const auto map = OpenText(first + second + "1000 80 third\n");
  const auto name = [&](uint64_t address, PerfMapTime time) {
    return LookUpPerfMap(*map, std::vector<PerfMapQuery>{{address, time}})[0].name;
  };
  EXPECT_EQ(name(0x1010, {0, 0}), "");
  EXPECT_EQ(name(0x1010, {0, one - 1}), "");  // its line was still being written
  EXPECT_EQ(name(0x1010, {0, one}), "first");
  EXPECT_EQ(name(0x1010, {one, one}), "first");
  EXPECT_EQ(name(0x1010, {two, two}), "second");
  EXPECT_EQ(name(0x1090, {two, two}), "first");
  EXPECT_EQ(name(0x1010, {}), "third");
  // Which of the two ran is not known.
  EXPECT_EQ(name(0x1010, {one, two}), "");
  EXPECT_EQ(name(0x1010, {two, UINT64_MAX}), "");
  EXPECT_EQ(name(0x1010, {0, two}), "");
  EXPECT_EQ(name(0x1090, {0, UINT64_MAX}), "first");
}

TEST(LookUpPerfMap, OfThePastIsReadForAllTimesInOnePass) {
  std::string text = "1000 100 first\n";
  const uint64_t one = text.size();
  while (text.size() < 200'000) text += "9000 10 another\n";
  const uint64_t before = text.size();
  text += "1000 80 second\n1000 80 second\n";
  const std::vector<PerfMapQuery> queries = {{0x1010, {0, one}},
                                             {0x1010, {one, before}},
                                             {0x1010, {one, text.size()}},
                                             {0x1010, {text.size(), UINT64_MAX}},
                                             {0x1090}};
  Names names;
  for (const PerfMapName& found : LookUpPerfMap(*OpenText(text), queries))
    names.push_back(found.name);
  EXPECT_EQ(names, (Names{"first", "first", "", "second", "first"}));
}

TEST(LookUpPerfMap, DoesNotGuessWhatStoodBeforeThePartThatIsRead) {
  std::string text = "1000 10 first\n";
  text += std::string(kMaxPerfMapBytes - text.size(), '#');
  text += "\n3000 10 known\n";
  const uint64_t before = text.size();
  text += "1000 10 last\n3000 10 known\n";
  const PerfMapTime during{before, UINT64_MAX}, after{text.size(), UINT64_MAX};
  const std::vector<PerfMapQuery> queries = {{0x1000, during}, {0x1000, after}, {0x3000, during}};
  Names names;
  for (const PerfMapName& found : LookUpPerfMap(*OpenText(text), queries))
    names.push_back(found.name);
  EXPECT_EQ(names, (Names{"", "last", "known"}));
  EXPECT_EQ(FindRenamed(*OpenText(text), std::vector<uint64_t>{0x1000}, std::vector{before}),
            (std::vector<bool>{false, true}));
}

TEST(FindRenamed, TellsInWhichPartANameChanged) {
  const std::string text =
      "1000 100 f\n2000 100 g\n"
      "1000 100 f\n3000 10 new\n"
      "2080 10 h\n";
  const std::vector<uint64_t> sizes = {22, 45};
  const auto renamed = [&](std::vector<uint64_t> addresses) {
    return FindRenamed(*OpenText(text), addresses, sizes);
  };
  EXPECT_EQ(renamed({0x1000, 0x3000}), (std::vector<bool>{false, false, false}));
  EXPECT_EQ(renamed({0x1000, 0x2080, 0x3000}), (std::vector<bool>{false, false, true}));
  EXPECT_EQ(renamed({0x2000, 0x2090}), (std::vector<bool>{false, false, false}));
  EXPECT_EQ(renamed({}), (std::vector<bool>{false, false, false}));
}

TEST(LookUpPerfMap, LeavesOutWhatMakesNoSense) {
  EXPECT_EQ(
      NamesIn("\nnonsense\n1000\n1000 20\n-5 20 x\n0x3000 0x10 hex\n1000 zz y\n4000 10 unfinished",
              {0x1000, 0x3000, 0x4000}),
      (Names{"", "hex", ""}));
  const auto names = NamesIn("1000 10 " + std::string(100'000, 'x') + "\n1000 10 y\n", {0x1000});
  EXPECT_EQ(names, Names{"y"});
  EXPECT_EQ(NamesIn("1000 10 " + std::string(2000, 'x') + "\n", {0x1000})[0].size(),
            kMaxPerfMapName);
}

TEST(LookUpPerfMap, ReadsTheEndOfWhatIsTooLong) {
  std::string text = "1000 10 first\n";
  text += std::string(kMaxPerfMapBytes - text.size(), '#');
  text += "\n1000 10 last\n2000 10 more\n";
  EXPECT_EQ(NamesIn(text, {0x1000, 0x2000}), (Names{"last", "more"}));
}

TEST(OpenPerfMap, BelievesOnlyItsOwnersFiles) {
  const std::string path = testing::TempDir() + "sonde_perf_map_" + std::to_string(getpid());
  std::ofstream(path) << "1000 10 x\n";
  EXPECT_TRUE(OpenPerfMap(path, geteuid()).ok());
  const std::string link = path + ".link";
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  EXPECT_FALSE(OpenPerfMap(link, geteuid()).ok());
  if (geteuid() == 0) {
    ASSERT_EQ(chown(path.c_str(), 1234, 1234), 0);
    EXPECT_FALSE(OpenPerfMap(path, 0).ok());
    EXPECT_TRUE(OpenPerfMap(path, 1234).ok());
  }
  unlink(link.c_str());
  unlink(path.c_str());
}

TEST(Symbolizer, NamesGeneratedCodeOfEachProcessByItsOwnMap) {
  SymbolizerOptions options;
  options.open_perf_map = [](int pid) -> Result<std::unique_ptr<ByteSource>> {
    if (pid == 9) return Error{"none"};
    return OpenText("1000 20 of " + std::to_string(pid) + "\n");
  };
  Symbolizer symbolizer(std::move(options));
  Mapping code;
  code.start = 0x1000;
  code.limit = 0x2000;
  code.path = "//anon";
  const std::vector<uint64_t> addresses = {0x1004, 0x1100};
  for (const int pid : {7, 8, 9}) symbolizer.ReadPerfMap(pid, addresses);
  code.pid = 7;
  EXPECT_EQ(symbolizer.Lookup(code, 0x1004).name, "of 7");
  EXPECT_EQ(symbolizer.Lookup(code, 0x1004).start, 0x1000u);
  EXPECT_EQ(symbolizer.Lookup(code, 0x1100).name, "");
  EXPECT_EQ(symbolizer.Lookup(code, 0x1005).name, "");  // not asked for when the map was read
  code.pid = 8;
  EXPECT_EQ(symbolizer.Lookup(code, 0x1004).name, "of 8");
  code.pid = 9;
  EXPECT_EQ(symbolizer.Lookup(code, 0x1004).name, "");
}

}  // namespace
}  // namespace sonde
