// SPDX-License-Identifier: Apache-2.0
// A seeded loop of damaged requests, through the parser and over real sockets.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/http/client.h"
#include "tests/http/request_corpus.h"
#include "tests/http/running_server.h"

namespace sonde::testing {
namespace {

const char* const kSeeds[] = {
    "GET /debug/pprof/profile?seconds=1 HTTP/1.1\r\nHost: 127.0.0.1:7663\r\nAccept-Encoding: "
    "gzip\r\n\r\n",
    "POST /debug/pprof/symbol HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n0x1f+0x20",
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: "
    "b\r\n\r\n",
    "PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "GET http://h/echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /echo HTTP/1.1\r\nHost: "
    "x\r\n\r\n",
};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}
  size_t Below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  std::string Next() {
    std::string bytes = kSeeds[Below(std::size(kSeeds))];
    for (size_t i = 0, count = 1 + Below(4); i < count; ++i) Damage(&bytes);
    return bytes;
  }

 private:
  void Damage(std::string* bytes) {
    const size_t at = Below(bytes->size());
    switch (Below(5)) {
      case 0:
        if (!bytes->empty()) (*bytes)[at] = static_cast<char>(random_());
        break;
      case 1:
        bytes->erase(at, 1 + Below(20));
        break;
      case 2:
        bytes->insert(at, bytes->substr(Below(bytes->size()), Below(60)));
        break;
      case 3:
        bytes->insert(at, Below(40), static_cast<char>(random_()));
        break;
      default:
        bytes->resize(at);
    }
  }
  std::mt19937 random_;
};

TEST(Mutation, TheParserKeepsItsInvariants) {
  Mutator mutator(7663);
  int complete = 0;
  for (int i = 0; i < 200000; ++i)
    complete += ParseEverything(mutator.Next(), 1 + mutator.Below(100));
  // Neither everything nor nothing survives the damage, else the loop would test nothing.
  EXPECT_GT(complete, 10000);
  EXPECT_LT(complete, 200000);
}

TEST(Mutation, TheServerOutlivesDamagedRequests) {
  RunningServer server;
  Mutator mutator(99);
  for (int i = 0; i < 1000; ++i) {
    Client client(server.port());
    ASSERT_TRUE(client.connected()) << i;
    client.Send(mutator.Next());
  }
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/echo?alive")));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "GET alive ");
}

}  // namespace
}  // namespace sonde::testing
