// SPDX-License-Identifier: Apache-2.0
#include "agent/http/request_parser.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde::http {
namespace {

using State = RequestParser::State;

// Feeds in pieces of `step` bytes until the parser has an opinion.
State FeedInSteps(RequestParser* parser, std::string_view bytes, size_t step) {
  State state = State::kMore;
  while (state == State::kMore && !bytes.empty()) {
    size_t used = 0;
    state = parser->Feed(bytes.substr(0, step), &used);
    bytes.remove_prefix(used);
    if (used == 0) break;
  }
  return state;
}

TEST(RequestParser, HowBytesAreCutMakesNoDifference) {
  const std::string bytes =
      "POST /a/b?c=d&e HTTP/1.1\r\nHOST: Example\r\nX-Long: one,\r\nAccept:\r\nContent-Length: "
      "4\r\n\r\nbody";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    RequestParser parser{ParserLimits()};
    ASSERT_EQ(FeedInSteps(&parser, bytes, step), State::kDone) << step;
    const Request& request = parser.request();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a/b");
    EXPECT_EQ(request.query, "c=d&e");
    EXPECT_EQ(*request.Header("host"), "Example");
    EXPECT_EQ(*request.Header("accept"), "");
    EXPECT_EQ(request.body, "body");
    EXPECT_TRUE(request.keep_alive);
  }
}

TEST(RequestParser, TakesOneRequestAndLeavesTheNext) {
  const std::string first = "GET /1 HTTP/1.1\r\n\r\n";
  RequestParser parser{ParserLimits()};
  size_t used = 0;
  ASSERT_EQ(parser.Feed(first + "GET /2 HTTP/1.1\r\n\r\n", &used), State::kDone);
  EXPECT_EQ(used, first.size());
  parser.Reset();
  EXPECT_TRUE(parser.untouched());
  ASSERT_EQ(parser.Feed("GET /2 HTTP/1.1\r\n\r\n", &used), State::kDone);
  EXPECT_EQ(parser.request().path, "/2");
}

TEST(RequestParser, AProxysAbsoluteTargetAndAnUpgradeAreOrdinaryRequests) {
  for (const char* bytes :
       {"GET http://host:80/path?q HTTP/1.1\r\n\r\n",
        "GET /path?q HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"}) {
    RequestParser parser{ParserLimits()};
    size_t used = 0;
    ASSERT_EQ(parser.Feed(bytes, &used), State::kDone) << bytes;
    EXPECT_EQ(parser.request().path, "/path");
    EXPECT_EQ(parser.request().query, "q");
  }
}

TEST(RequestParser, TheLimitOfTheHeadIsExact) {
  ParserLimits limits;
  limits.max_head_bytes = 200;
  const auto status_for = [&](size_t head_bytes) {
    const std::string start = "GET / HTTP/1.1\r\nX: ";
    const std::string bytes = start + std::string(head_bytes - start.size() - 4, 'x') + "\r\n\r\n";
    RequestParser parser(limits);
    const State state = FeedInSteps(&parser, bytes, bytes.size());
    return state == State::kDone ? 200 : parser.refusal().status;
  };
  EXPECT_EQ(status_for(200), 200);
  EXPECT_EQ(status_for(201), 431);
  EXPECT_EQ(status_for(5000), 431);
}

TEST(RequestParser, AContinueWishIsToldOnceAndOnlyWithABody) {
  RequestParser parser{ParserLimits()};
  size_t used = 0;
  ASSERT_EQ(
      parser.Feed("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", &used),
      State::kMore);
  EXPECT_TRUE(parser.TakeContinueWish());
  EXPECT_FALSE(parser.TakeContinueWish());
  RequestParser without{ParserLimits()};
  ASSERT_EQ(without.Feed("GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", &used), State::kDone);
  EXPECT_FALSE(without.TakeContinueWish());
}

}  // namespace
}  // namespace sonde::http
