// SPDX-License-Identifier: Apache-2.0
#include "profile/gzip.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/profile/test_util.h"

namespace sonde {
namespace {

std::string Noise(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST(Gzip, GivesBackWhatItGot) {
  for (const size_t size : {0u, 1u, 1000u, 65536u, 300000u}) {
    const std::string text = Noise(size);
    const auto back = Gunzip(Gzip(text), size);
    ASSERT_TRUE(back.ok()) << back.error();
    EXPECT_EQ(*back, text);
  }
}

TEST(Gzip, IsReadByGzipItself) {
  const TempFile file(Gzip("hello, gzip\n"));
  EXPECT_EQ(RunCommand("gzip -dc < " + file.path()), "hello, gzip\n");
}

TEST(Gzip, ReadsSeveralMembersAsOne) {
  const auto both = Gunzip(Gzip("one ") + Gzip("two"), 100);
  ASSERT_TRUE(both.ok()) << both.error();
  EXPECT_EQ(*both, "one two");
}

TEST(Gzip, StopsABombAtTheLimit) {
  const std::string bomb = Gzip(std::string(50 << 20, 'x'));
  EXPECT_LT(bomb.size(), size_t{1} << 18);  // a two-hundredth of what it unpacks to
  const auto result = Gunzip(bomb, 1 << 20);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().find("limit of 1048576 bytes"), std::string::npos);
}

TEST(Gzip, TakesExactlyTheLimitAndNotOneMore) {
  const std::string packed = Gzip(std::string(1000, 'x'));
  EXPECT_TRUE(Gunzip(packed, 1000).ok());
  EXPECT_FALSE(Gunzip(packed, 999).ok());
}

TEST(Gzip, SaysThatAStreamIsCutAndWhere) {
  const std::string packed = Gzip(Noise(5000));
  for (size_t size = 2; size < packed.size(); size += 97) {
    const auto result = Gunzip(packed.substr(0, size), 10000);
    ASSERT_FALSE(result.ok()) << size;
    EXPECT_EQ(result.error(), "gzip data cut short at byte " + std::to_string(size));
  }
}

TEST(Gzip, NoticesEveryFlippedByteOfTheChecksummedPart) {
  const std::string packed = Gzip("some text that is long enough to be packed, packed, packed");
  for (size_t i = 10; i < packed.size(); ++i) {
    std::string broken = packed;
    broken[i] = static_cast<char>(broken[i] ^ 0x10);
    EXPECT_FALSE(Gunzip(broken, 1000).ok()) << i;
  }
}

TEST(Gzip, RefusesOtherData) { EXPECT_FALSE(Gunzip("plain", 100).ok()); }

}  // namespace
}  // namespace sonde
