// SPDX-License-Identifier: Apache-2.0
#include "agent/config/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace sonde {
namespace {

using Family = Address::Family;

TEST(Address, EveryDocumentedFormIsAccepted) {
  EXPECT_EQ(ParseAddress("127.0.0.1:7663")->port, 7663);
  EXPECT_EQ(ParseAddress("[::1]:80")->family, Family::kIp6);
  EXPECT_EQ(ParseAddress("0.0.0.0:9663")->family, Family::kIp4);
  EXPECT_EQ(ParseAddress(":9663")->family, Family::kEveryInterface);
  EXPECT_EQ(ParseAddress("unix:/run/x.sock")->family, Family::kUnixPath);
  EXPECT_STREQ(ParseAddress("unix:/run/x.sock")->path, "/run/x.sock");
  EXPECT_EQ(ParseAddress("unix:@sonde/a")->family, Family::kUnixAbstract);
  EXPECT_STREQ(ParseAddress("unix:@sonde/a")->path, "sonde/a");
}

TEST(Address, NonsenseIsRefused) {
  for (const char* text : {"",
                           ":",
                           "7663",
                           "localhost:80",
                           "127.0.0.1",
                           "127.0.0.1:0",
                           "127.0.0.1:65536",
                           "127.0.0.1:x",
                           "127.0.0.1:-1",
                           "127.0.0.1:080",
                           "256.0.0.1:1",
                           "1.2.3:1",
                           "1.2.3.4.5:1",
                           "01.2.3.4:1",
                           "[::1]",
                           "[:1]:2",
                           "[1::2::3]:4",
                           "[12345::]:6",
                           "[::1:6",
                           "::1:80",
                           "unix:",
                           "unix:@",
                           "unix:relative",
                           " 127.0.0.1:1",
                           "127.0.0.1:1 "}) {
    EXPECT_FALSE(ParseAddress(text).has_value()) << text;
  }
}

TEST(Address, AUnixPathMustFitIntoTheKernelsStructure) {
  EXPECT_TRUE(ParseAddress("unix:/" + std::string(106, 'a')).has_value());
  EXPECT_FALSE(ParseAddress("unix:/" + std::string(107, 'a')).has_value());
  EXPECT_TRUE(ParseAddress("unix:@" + std::string(105, 'a')).has_value());
  EXPECT_FALSE(ParseAddress("unix:@" + std::string(107, 'a')).has_value());
}

TEST(Address, OnlyLoopbackAndUnixSocketsAreLocal) {
  for (const char* text : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "unix:/x", "unix:@x"}) {
    EXPECT_TRUE(ParseAddress(text)->IsLocal()) << text;
  }
  for (const char* text : {"0.0.0.0:1", ":1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1", "[::2]:1"}) {
    EXPECT_FALSE(ParseAddress(text)->IsLocal()) << text;
  }
}

// The C library's parser is the judge.
TEST(Address, Ip6AgreesWithInetPton) {
  for (const char* text : {"::",
                           "::1",
                           "1::",
                           "fe80::1",
                           "1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7::",
                           "::2:3:4:5:6:7:8",
                           "2001:db8::ff00:42:8329",
                           "ABCD::",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           ":1",
                           "1:",
                           ":::",
                           "g::",
                           "1::2::3",
                           "",
                           "1:2:3:4::5:6:7:8",
                           "12345::",
                           "::1:"}) {
    uint8_t ours[16] = {};
    uint8_t judge[16] = {};
    const bool valid = inet_pton(AF_INET6, text, judge) == 1;
    ASSERT_EQ(ParseIp6(text, ours), valid) << text;
    if (valid) {
      EXPECT_EQ(std::memcmp(ours, judge, 16), 0) << text;
    }
  }
}

}  // namespace
}  // namespace sonde
