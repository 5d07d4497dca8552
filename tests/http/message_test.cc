// SPDX-License-Identifier: Apache-2.0
#include "agent/http/message.h"

#include <gtest/gtest.h>
#include <time.h>

#include <random>
#include <string>

#include "agent/http/query.h"

namespace sonde::http {
namespace {

TEST(HttpDate, AgreesWithTheCLibrary) {
  std::mt19937_64 random(20240229);
  std::uniform_int_distribution<int64_t> any(0, 253402300799);  // until the year 9999
  for (int i = 0; i < 20000; ++i) {
    const time_t when = i == 0 ? 951782400 : any(random);  // 2000-02-29 first
    tm parts = {};
    gmtime_r(&when, &parts);
    char expected[64];
    strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    ASSERT_EQ(HttpDate(when), expected) << when;
  }
}

TEST(Serialize, NoHeaderValueCanBeginAnotherHeader) {
  Response response = Response::Text(200, "x");
  response.headers.emplace_back("Location", "/a\r\nSet-Cookie: evil=1");
  const std::string bytes = Serialize(response, true, false, 0);
  EXPECT_EQ(bytes.find("\r\nSet-Cookie"), std::string::npos);
}

TEST(Serialize, SaysWhetherTheConnectionIsKept) {
  EXPECT_NE(Serialize(Response::Text(200, ""), true, false, 0).find("Connection: keep-alive"),
            std::string::npos);
  EXPECT_NE(Serialize(Response::Text(200, ""), false, false, 0).find("Connection: close"),
            std::string::npos);
}

TEST(Query, DecodesEscapesAndKeepsBrokenOnes) {
  const Parameters p = ParseParameters("a=1&b=%41+%2B&c&=d&e=%4&f=%zz&a=2&&g=x%");
  EXPECT_EQ(*FindParameter(p, "a"), "1");
  EXPECT_EQ(*FindParameter(p, "b"), "A +");
  EXPECT_EQ(*FindParameter(p, "c"), "");
  EXPECT_EQ(*FindParameter(p, "e"), "%4");
  EXPECT_EQ(*FindParameter(p, "f"), "%zz");
  EXPECT_EQ(*FindParameter(p, "g"), "x%");
  EXPECT_EQ(FindParameter(p, "h"), nullptr);
  EXPECT_EQ(ParseParameters(std::string(1000, '&') + "a=1").size(), 1u);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "k=v&";
  EXPECT_EQ(ParseParameters(many).size(), kMaxParameters);
}

TEST(Query, NumbersAreWholeOrNothing) {
  EXPECT_EQ(ParseInteger("-12"), -12);
  for (const char* text : {"", "1 ", " 1", "+1", "1.0", "0x1", "9223372036854775808", "--1"}) {
    EXPECT_FALSE(ParseInteger(text).has_value()) << text;
  }
  EXPECT_EQ(ParseHex("0xff"), 255u);
  EXPECT_EQ(ParseHex("FF"), 255u);
  for (const char* text : {"", "0x", "g", "0x10000000000000000", "0x0x1"}) {
    EXPECT_FALSE(ParseHex(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace sonde::http
