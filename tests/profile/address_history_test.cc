// SPDX-License-Identifier: Apache-2.0
#include "profile/address_history.h"

#include <gtest/gtest.h>

#include <random>

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

Mapping Object(uint64_t start, uint64_t bytes, const std::string& path, const std::string& id) {
  Mapping mapping;
  mapping.start = mapping.image_start = start;
  mapping.limit = mapping.image_limit = start + bytes;
  mapping.path = path;
  mapping.build_id = id;
  mapping.inode = std::hash<std::string>()(path);
  mapping.device = "8:1";
  return mapping;
}

const Mapping kMain = Object(0x1000, 0x1000, "/bin/main", "aa");
const Mapping kPlugin = Object(0x5000, 0x1000, "/lib/plugin.so", "bb");
const Mapping kOther = Object(0x4800, 0x1000, "/lib/other.so", "cc");

std::vector<std::string> PathsAt(const AddressHistory& history, uint64_t from_s, uint64_t to_s,
                                 uint64_t address) {
  std::vector<std::string> paths;
  for (const Mapping& mapping : history.At(7, from_s * kSecond, to_s * kSecond)) {
    if (mapping.Contains(address)) paths.push_back(mapping.path);
  }
  return paths;
}

// main from 10 s on; plugin seen at 20, not at 30; other seen at 40.
AddressHistory Story() {
  AddressHistory history;
  EXPECT_FALSE(history.Update(7, "host", {kMain}, 10 * kSecond));
  EXPECT_FALSE(history.Update(7, "host", {kMain, kPlugin}, 20 * kSecond));
  EXPECT_FALSE(history.Update(7, "host", {kMain}, 30 * kSecond));
  EXPECT_TRUE(history.Update(7, "host", {kMain, kOther}, 40 * kSecond));
  return history;
}

using Paths = std::vector<std::string>;

TEST(AddressHistory, GivesAnAddressToTheObjectThatWasThere) {
  const AddressHistory history = Story();
  EXPECT_EQ(PathsAt(history, 0, 10, 0x5100), Paths());
  EXPECT_EQ(PathsAt(history, 10, 30, 0x5100), Paths{"/lib/plugin.so"});
  EXPECT_EQ(PathsAt(history, 30, 40, 0x5100), Paths{"/lib/other.so"});
  EXPECT_EQ(PathsAt(history, 40, 99, 0x5100), Paths{"/lib/other.so"});
  EXPECT_EQ(PathsAt(history, 0, 99, 0x1100), Paths{"/bin/main"});
}

TEST(AddressHistory, GivesAnAddressToNobodyWhereTwoMayHaveHadIt) {
  const AddressHistory history = Story();
  EXPECT_EQ(PathsAt(history, 29, 31, 0x5100), Paths());
  EXPECT_EQ(PathsAt(history, 29, 31, 0x4900), Paths{"/lib/other.so"});
  EXPECT_EQ(PathsAt(history, 29, 31, 0x5900), Paths{"/lib/plugin.so"});
  EXPECT_EQ(PathsAt(history, 29, 31, 0x1100), Paths{"/bin/main"});
  for (const Mapping& mapping : history.At(7, 29 * kSecond, 31 * kSecond)) {
    if (mapping.path == "/lib/plugin.so") {
      EXPECT_EQ(mapping.offset, 0x800u);
      EXPECT_EQ(mapping.image_start, 0u) << "memory that is another's now would be read";
    }
  }
}

TEST(AddressHistory, KeepsApartWhatIsDisplaced) {
  EXPECT_EQ(Story().Changes(), (std::vector<uint64_t>{10 * kSecond, 30 * kSecond, UINT64_MAX}));
  AddressHistory same;
  same.Update(7, "host", {kMain, kPlugin}, 10 * kSecond);
  same.Update(7, "host", {kMain}, 20 * kSecond);
  EXPECT_FALSE(same.Update(7, "host", {kMain, kPlugin}, 30 * kSecond)) << "the same object again";
  EXPECT_TRUE(same.Changes().empty());
  EXPECT_EQ(PathsAt(same, 0, 99, 0x5100), (Paths{"/lib/plugin.so", "/lib/plugin.so"}));
}

TEST(AddressHistory, TakesADeletedFileForTheSameObject) {
  AddressHistory history;
  history.Update(7, "host", {kMain}, 10 * kSecond);
  Mapping deleted = kMain;
  deleted.deleted = true;
  EXPECT_FALSE(history.Update(7, "host", {deleted}, 20 * kSecond));
  const auto mappings = history.At(7, 0, 99 * kSecond);
  ASSERT_EQ(mappings.size(), 1u);
  EXPECT_TRUE(mappings[0].deleted);
  EXPECT_EQ(mappings[0].image_start, 0x1000u);
}

TEST(AddressHistory, KnowsWhoHasGeneratedCodeAndAPerfMapOfItsOwn) {
  Mapping code = Object(0x8000, 0x1000, "//anon", "");
  code.inode = 0;
  AddressHistory history;
  EXPECT_EQ(history.PerfMapOf(7), nullptr);
  history.Update(7, "host", {kMain, code}, 10 * kSecond);
  history.Update(8, "plain", {kMain}, 10 * kSecond);
  EXPECT_EQ(history.WithGeneratedCode(), std::vector<int>{7});
  const size_t before = history.memory_bytes();
  history.PerfMapOf(7)->Note(*OpenText("8000 10 f\n"), 10 * kSecond);
  EXPECT_GT(history.memory_bytes(), before);
  history.Inherit(9, "child", 7);
  EXPECT_FALSE(history.PerfMapOf(7)->empty());
  EXPECT_TRUE(history.PerfMapOf(9)->empty());
  // It is remembered as long as the code is, which may have been sampled.
  history.Update(7, "host", {kMain}, 20 * kSecond);
  EXPECT_EQ(history.WithGeneratedCode(), std::vector<int>{9});
  EXPECT_FALSE(history.PerfMapOf(7)->empty());
}

TEST(AddressHistory, ForgetsWhatEndedBefore) {
  AddressHistory history = Story();
  history.Forget(31 * kSecond);
  EXPECT_EQ(PathsAt(history, 10, 30, 0x5100), Paths());
  EXPECT_EQ(PathsAt(history, 40, 99, 0x5100), Paths{"/lib/other.so"});
  EXPECT_TRUE(history.Changes().empty());
}

TEST(AddressHistory, OfAChildIsItsParentsWhenItWasNeverRead) {
  AddressHistory history = Story();
  history.Inherit(8, "worker", 7);
  EXPECT_EQ(history.NameOf(8), "worker");
  EXPECT_EQ(history.At(8, 40 * kSecond, 50 * kSecond), history.At(7, 40 * kSecond, 50 * kSecond));
  history.Inherit(9, "orphan", 1234);
  EXPECT_FALSE(history.Knows(9));
}

TEST(AddressHistory, SurvivesAsText) {
  AddressHistory history = Story();
  history.Inherit(8, "a\nworker", 7);
  const AddressHistory read = AddressHistory::Read(history.Write());
  EXPECT_EQ(read.Write(), history.Write());
  EXPECT_EQ(read.NameOf(8), "a?worker");
  EXPECT_EQ(read.Changes(), history.Changes());
  EXPECT_EQ(PathsAt(read, 10, 30, 0x5100), Paths{"/lib/plugin.so"});
  EXPECT_EQ(PathsAt(read, 29, 31, 0x5100), Paths());
  EXPECT_EQ(read.At(7, 10 * kSecond, 20 * kSecond)[0].build_id, "aa");
}

TEST(AddressHistory, ReadsHostileText) {
  const std::string text = Story().Write();
  std::mt19937_64 random(3);
  size_t known = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string broken = text.substr(0, random() % (text.size() + 1));
    for (uint64_t flips = random() % 4; flips > 0 && !broken.empty(); --flips)
      broken[random() % broken.size()] = static_cast<char>(random());
    const AddressHistory read = AddressHistory::Read(broken);
    known += read.At(7, 0, UINT64_MAX).size();
    EXPECT_LE(read.Changes().size(), 2 * text.size());
  }
  EXPECT_GT(known, 1000u);
  const AddressHistory bomb = AddressHistory::Read("m 1 2 0 - - x\np 7 y\na 0 ffffffffffffffff\n");
  EXPECT_EQ(bomb.At(7, 0, 9).size(), 1u);
}

}  // namespace
}  // namespace sonde
