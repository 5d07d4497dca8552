// SPDX-License-Identifier: Apache-2.0
#include "profile/mappings.h"

#include <gtest/gtest.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>

#include "profile/elf_file.h"
#include "tests/profile/test_util.h"

namespace sonde {
namespace {

constexpr char kMaps[] =
    "00400000-00401000 r--p 00000000 fe:00 100                                /srv/my app (v2)\n"
    "00401000-00500000 r-xp 00001000 fe:00 100                                /srv/my app (v2)\n"
    "00500000-00501000 rwxp 00100000 fe:00 100                                /srv/my app (v2)\n"
    "01000000-01021000 rw-p 00000000 00:00 0                                  [heap]\n"
    "7f0000000000-7f0000001000 rwxp 00000000 00:00 0 \n"
    "7f0000001000-7f0000002000 r--p 00000000 fe:00 200                        /usr/lib/libx.so "
    "(deleted)\n"
    "7f0000002000-7f0000004000 r-xp 00001000 fe:00 200                        /usr/lib/libx.so "
    "(deleted)\n"
    "7f0000004000-7f0000005000 r--p 00003000 fe:00 200                        /usr/lib/libx.so "
    "(deleted)\n"
    "7f0000005000-7f0000006000 r-xp 00004000 fe:00 200                        /usr/lib/libx.so "
    "(deleted)\n"
    "7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

bool ReadOwnMemory(uint64_t address, void* out, size_t size) {
  memcpy(out, reinterpret_cast<const void*>(address), size);
  return true;
}

TEST(Mappings, KeepOnlyExecutablePiecesWithOffsetAndName) {
  const auto table = ParseMaps(kMaps);
  EXPECT_EQ(table.dropped, 0u);
  ASSERT_EQ(table.mappings.size(), 6u);
  const Mapping& main = table.mappings[0];
  EXPECT_EQ(main.start, 0x401000u);
  EXPECT_EQ(main.offset, 0x1000u);
  EXPECT_EQ(main.path, "/srv/my app (v2)");
  EXPECT_EQ(main.image_start, 0x400000u);
  EXPECT_EQ(main.inode, 100u);
  EXPECT_EQ(main.device, "fe:00");
}

TEST(Mappings, NeighboursOfOneFileWhoseOffsetsContinueAreOne) {
  const auto table = ParseMaps(kMaps);
  EXPECT_EQ(table.mappings[0].limit, 0x501000u);
  // A hole between two executable pieces keeps them apart.
  EXPECT_EQ(table.mappings[2].limit, 0x7f0000004000u);
  EXPECT_EQ(table.mappings[3].start, 0x7f0000005000u);
}

TEST(Mappings, NeighboursWhoseOffsetsDoNotContinueStayApart) {
  const auto table = ParseMaps(
      "1000-2000 r-xp 00000000 fe:00 1 /a\n"
      "2000-3000 r-xp 00000000 fe:00 1 /a\n");
  EXPECT_EQ(table.mappings.size(), 2u);
}

TEST(Mappings, DeletedFilesAreMarkedAndTheMarkIsNoPartOfTheName) {
  const auto table = ParseMaps(kMaps);
  EXPECT_TRUE(table.mappings[2].deleted);
  EXPECT_EQ(table.mappings[2].path, "/usr/lib/libx.so");
  EXPECT_FALSE(table.mappings[0].deleted);
}

TEST(Mappings, CodeWithoutFileHasPprofsNameForIt) {
  const auto table = ParseMaps(kMaps);
  EXPECT_EQ(table.mappings[1].path, "//anon");
  EXPECT_FALSE(table.mappings[1].IsFile());
  EXPECT_EQ(table.mappings[4].path, "[vdso]");
  EXPECT_EQ(table.mappings[5].start, 0xffffffffff600000u);
  EXPECT_EQ(table.mappings[5].image_start, 0u);  // may be executed, not read
}

TEST(Mappings, ANewlineInANameIsUnescaped) {
  const auto table = ParseMaps("1000-2000 r-xp 00000000 fe:00 7    /a\\012b\\c\n");
  ASSERT_EQ(table.mappings.size(), 1u);
  EXPECT_EQ(table.mappings[0].path, "/a\nb\\c");
}

TEST(Mappings, LinesThatMakeNoSenseAreCountedAndSkipped) {
  for (const char* bad :
       {"x", "1000-1000 r-xp 0 fe:00 1 /a", "2000-1000 r-xp 0 fe:00 1 /a", "1000-2000 r-",
        "1000-2000 r-xp zz fe:00 1 /a", "1000 r-xp 0 fe:00 1 /a", "1000-2000 r-xp 0 fe:00 -1 /a",
        "11111111111111111-2 r-xp 0 fe:00 1 /a"}) {
    const auto table = ParseMaps(std::string(bad) + "\n5000-6000 r-xp 0 fe:00 9 /good\n");
    EXPECT_EQ(table.dropped, 1u) << bad;
    ASSERT_EQ(table.mappings.size(), 1u) << bad;
    EXPECT_EQ(table.mappings[0].path, "/good");
  }
}

TEST(Mappings, AreLimitedInNumberAndTheRestIsCounted) {
  std::string text;
  const size_t lines = kMaxMappings + 10;
  for (size_t i = 1; i <= lines; ++i) {
    char line[96];
    snprintf(line, sizeof line, "%zx000-%zx800 r-xp 00000000 00:00 0 \n", i, i);
    text += line;
  }
  const auto table = ParseMaps(text);
  EXPECT_EQ(table.mappings.size(), kMaxMappings);
  EXPECT_EQ(table.dropped, 10u);
}

TEST(Mappings, OfThisProcessBeginWithTheProgramAndHoldThisCode) {
  const auto table = ReadMapsOfPid(getpid());
  ASSERT_TRUE(table.ok()) << table.error();
  char exe[4096] = {};
  ASSERT_GT(readlink("/proc/self/exe", exe, sizeof exe - 1), 0);
  ASSERT_FALSE(table->mappings.empty());
  EXPECT_EQ(table->mappings[0].path, exe);
  const auto here = reinterpret_cast<uint64_t>(&ReadOwnMemory);
  EXPECT_TRUE(table->mappings[0].Contains(here));
  EXPECT_EQ(table->dropped, 0u);
}

TEST(Mappings, OfAProcessThatIsNotThereAreAnError) {
  const auto table = ReadMapsOfPid(999999999);
  ASSERT_FALSE(table.ok());
  EXPECT_NE(table.error().find("/proc/999999999"), std::string::npos);
}

TEST(Mappings, TheMainProgramMovesToTheFrontAndTheOthersKeepTheirOrder) {
  auto mappings = ParseMaps(kMaps).mappings;
  MoveMainFirst("/usr/lib/libx.so", &mappings);
  EXPECT_EQ(mappings[0].path, "/usr/lib/libx.so");
  EXPECT_EQ(mappings[1].path, "/srv/my app (v2)");
  EXPECT_EQ(mappings[2].path, "//anon");
}

TEST(Mappings, BuildIdsFromMemoryEqualThoseFromFilesAndReadelf) {
  auto from_files = ReadMapsOfPid(getpid())->mappings;
  auto from_memory = from_files;
  AddBuildIds(nullptr, &from_files);
  AddBuildIds(ReadOwnMemory, &from_memory);
  size_t compared = 0;
  for (size_t i = 0; i < from_files.size(); ++i) {
    if (!from_files[i].IsFile()) continue;
    EXPECT_EQ(from_files[i].build_id, from_memory[i].build_id) << from_files[i].path;
    const std::string readelf = RunCommand("readelf -n " + from_files[i].path + " 2>/dev/null");
    EXPECT_NE(readelf.find("Build ID: " + from_files[i].build_id), std::string::npos);
    EXPECT_EQ(from_files[i].build_id.size(), 40u);
    ++compared;
  }
  EXPECT_GE(compared, 4u);  // the test itself, libc, libstdc++, the loader
}

TEST(Mappings, TheVdsoHasABuildIdInMemoryOnly) {
  auto mappings = ReadMapsOfPid(getpid())->mappings;
  AddBuildIds(ReadOwnMemory, &mappings);
  const auto vdso = std::find_if(mappings.begin(), mappings.end(),
                                 [](const Mapping& m) { return m.path == "[vdso]"; });
  ASSERT_NE(vdso, mappings.end());
  EXPECT_EQ(vdso->start, getauxval(AT_SYSINFO_EHDR));
  EXPECT_GE(vdso->build_id.size(), 16u);
}

}  // namespace
}  // namespace sonde
