// SPDX-License-Identifier: Apache-2.0
#include "profile/time_text.h"

#include <gtest/gtest.h>
#include <time.h>

#include <random>

namespace sonde {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(TimeText, IsReadAsDateOrAsSeconds) {
  EXPECT_EQ(ParseTime("2026-11-21T09:14:05Z"), 1795252445 * kSecond);
  EXPECT_EQ(ParseTime("2026-11-21T09:14:05.25Z"), 1795252445 * kSecond + 250'000'000);
  EXPECT_EQ(ParseTime("1795252445"), 1795252445 * kSecond);
  EXPECT_EQ(ParseTime("0.000000001"), 1);
  EXPECT_EQ(ParseTime("2024-02-29T00:00:00Z"), 1709164800 * kSecond);
}

TEST(TimeText, ThatIsNoTimeIsRefused) {
  for (const char* text : {"",
                           "x",
                           "-5",
                           "5x",
                           ".5",
                           "5.",
                           "2026-11-21",
                           "2026-11-21T09:14:05",
                           "2026-11-21 09:14:05Z",
                           "2026-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-11-21T24:00:00Z",
                           "2026-11-21T09:60:05Z",
                           "2026-11-21T09:14:05+01:00",
                           "2026-11-21T09:14:05.Z",
                           "2026-11-21T09:14:05.0000000001Z",
                           "99999999999",
                           "99999999999999999999",
                           "1969-12-31T23:59:59Z",
                           "20261-1-21T09:14:05Z"}) {
    EXPECT_EQ(ParseTime(text), std::nullopt) << text;
  }
}

TEST(TimeText, IsWhatTheCLibraryMakesOfIt) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 20'000; ++i) {
    const time_t seconds = static_cast<time_t>(random() % 7'258'118'400);
    tm parts = {};
    gmtime_r(&seconds, &parts);
    char expected[64];
    strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
    ASSERT_EQ(FormatTime(seconds * kSecond), expected);
    ASSERT_EQ(ParseTime(expected), seconds * kSecond);
  }
}

TEST(TimeText, TellsLengthsAsTheyAreTyped) {
  EXPECT_EQ(FormatLength(48 * kSecond), "48s");
  EXPECT_EQ(FormatLength(300 * kSecond), "5m");
  EXPECT_EQ(FormatLength(200 * kSecond), "3m20s");
  EXPECT_EQ(FormatLength(7500 * kSecond), "2h05m");
  EXPECT_EQ(FormatLength(7200 * kSecond), "2h");
}

}  // namespace
}  // namespace sonde
