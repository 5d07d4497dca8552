// SPDX-License-Identifier: Apache-2.0
#include "agent/http/token.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace sonde::http {
namespace {

constexpr char kFirst[] = "0123456789abcdef";
constexpr char kSecond[] = "fedcba9876543210-longer";

class TokenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/sonde-token-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/token";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void Replace(const std::string& text) {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  std::string directory_;
  std::string path_;
};

TEST_F(TokenFileTest, MatchesTheTokenWithoutItsNewlineAndNothingElse) {
  Replace(std::string(kFirst) + "\n");
  TokenFile token(path_);
  EXPECT_TRUE(token.Matches(kFirst));
  for (const char* wrong : {"", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0",
                            "0123456789abcdef0123456789abcdef"}) {
    EXPECT_FALSE(token.Matches(wrong)) << wrong;
  }
}

TEST_F(TokenFileTest, AReplacedFileTakesEffectAtOnce) {
  Replace(kFirst);
  TokenFile token(path_);
  ASSERT_TRUE(token.Matches(kFirst));
  Replace(kSecond);
  EXPECT_FALSE(token.Matches(kFirst));
  EXPECT_TRUE(token.Matches(kSecond));
}

TEST_F(TokenFileTest, WithoutAUsableFileNothingMatches) {
  TokenFile missing(path_);
  EXPECT_FALSE(missing.Matches(""));
  EXPECT_NE(missing.error().find("no such file"), std::string::npos);
  Replace("short\n");
  EXPECT_FALSE(missing.Matches("short"));
  EXPECT_NE(missing.error().find("at least 16 bytes"), std::string::npos);
  Replace("");
  EXPECT_FALSE(missing.Matches(""));
  Replace(std::string(TokenFile::kMaxBytes + 1, 'x'));
  EXPECT_FALSE(missing.Matches(std::string(TokenFile::kMaxBytes + 1, 'x')));
  TokenFile none("");
  EXPECT_FALSE(none.configured());
  EXPECT_FALSE(none.Matches(""));
  EXPECT_EQ(none.error(), "");
}

TEST(SameSecret, ComparesAllBytes) {
  EXPECT_TRUE(SameSecret("", ""));
  EXPECT_TRUE(SameSecret("abc", "abc"));
  EXPECT_FALSE(SameSecret("abc", ""));
  EXPECT_FALSE(SameSecret("", "abc"));
  EXPECT_FALSE(SameSecret("abcabc", "abc"));
  EXPECT_FALSE(SameSecret("xbc", "abc"));
  EXPECT_FALSE(SameSecret("abx", "abc"));
}

}  // namespace
}  // namespace sonde::http
