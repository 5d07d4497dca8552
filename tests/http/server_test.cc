// SPDX-License-Identifier: Apache-2.0
// What well-behaved clients may expect, over real sockets.
#include "agent/http/server.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>

#include "tests/http/client.h"
#include "tests/http/running_server.h"

namespace sonde::testing {
namespace {

TEST(Server, AnswersManyRequestsOnOneConnection) {
  RunningServer server;
  Client client(server.port());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client.Send(Get("/echo?" + std::to_string(i))));
    ASSERT_EQ(BodyOf(client.ReadResponse()), "GET " + std::to_string(i) + " ");
  }
  EXPECT_EQ(server.handler().CountOf(200), 100);
}

TEST(Server, AnswersPipelinedRequestsInTheirOrder) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/echo?1") + Get("/slow?100") + Get("/echo?3") + Get("/nothing")));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "GET 1 ");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "slow\n");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "GET 3 ");
  EXPECT_EQ(StatusOf(client.ReadResponse()), 404);
}

TEST(Server, TakesARequestByteByByte) {
  RunningServer server;
  Client client(server.port());
  for (char c : Get("/echo?slowly")) ASSERT_TRUE(client.Send(std::string_view(&c, 1)));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "GET slowly ");
}

TEST(Server, Http10ClosesAfterTheAnswerUnlessAskedNotTo) {
  RunningServer server;
  Client plain(server.port());
  ASSERT_TRUE(plain.Send("GET /echo HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(StatusOf(plain.ReadResponse()), 200);
  EXPECT_TRUE(plain.ClosedWithin(1000));
  Client keeping(server.port());
  ASSERT_TRUE(keeping.Send("GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  EXPECT_NE(keeping.ReadResponse().find("Connection: keep-alive"), std::string::npos);
  ASSERT_TRUE(keeping.Send(Get("/echo", "Connection: close\r\n")));
  EXPECT_NE(keeping.ReadResponse().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(keeping.ClosedWithin(1000));
}

TEST(Server, HeadGetsTheHeadersOfGetAndNoBody) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send("HEAD /big?1000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  const std::string all = client.ReadAll();
  EXPECT_NE(all.find("Content-Length: 1000\r\n"), std::string::npos);
  EXPECT_EQ(BodyOf(all), "");
}

TEST(Server, ReadsBodiesWithLengthAndChunked) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "POST  hello");
  ASSERT_TRUE(
      client.Send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n2;extension=1\r\nde\r\n0\r\nTrailer: t\r\n\r\n"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "POST  abcde");
}

TEST(Server, TellsAWaitingClientToSendItsBody) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(client.ReadResponse(), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.Send("ok"));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "POST  ok");
}

TEST(Server, ALongAnswerDoesNotHoldUpOthers) {
  RunningServer server;
  Client slow(server.port());
  ASSERT_TRUE(slow.Send(Get("/slow?700")));
  ASSERT_TRUE(RunningServer::Eventually([&] { return server.handler().waiting == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  Client quick(server.port());
  ASSERT_TRUE(quick.Send(Get("/echo?q")));
  EXPECT_EQ(BodyOf(quick.ReadResponse()), "GET q ");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
  EXPECT_EQ(BodyOf(slow.ReadResponse()), "slow\n");
}

TEST(Server, ADisconnectEndsALongAnswerEarly) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/slow?60000")));
  ASSERT_TRUE(RunningServer::Eventually([&] { return server.handler().waiting == 1; }));
  client.Close();
  EXPECT_TRUE(RunningServer::Eventually([&] { return server.handler().waiting == 0; }));
  EXPECT_TRUE(RunningServer::Eventually([&] { return server.connections() == 0; }));
  EXPECT_EQ(server.handler().finished, 0);
}

TEST(Server, AClientThatShutItsSendingSideStillGetsItsLongAnswer) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/slow?300")));
  client.HalfClose();
  const std::string all = client.ReadAll();
  EXPECT_NE(all.find("slow\n"), std::string::npos) << all;
}

TEST(Server, ABigAnswerReachesAReaderThatTakesItsTime) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/big?20000000")));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(BodyOf(client.ReadResponse()).size(), 20000000u);
}

TEST(Server, RunningOutOfMemoryIsAnErrorOfOneAnswer) {
  RunningServer server;
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/throw") + Get("/echo")));
  EXPECT_EQ(StatusOf(client.ReadResponse()), 503);
  EXPECT_EQ(StatusOf(client.ReadResponse()), 200);
}

TEST(Server, TouchesNoSignalDispositionOfTheHost) {
  struct sigaction before[65];
  for (int s = 1; s < 65; ++s) sigaction(s, nullptr, &before[s]);
  {
    RunningServer server;
    Client client(server.port());
    ASSERT_TRUE(client.Send(Get("/big?10000000")));
    client.Close();  // the server writes into a closed connection
    EXPECT_TRUE(RunningServer::Eventually([&] { return server.connections() == 0; }));
  }
  for (int s = 1; s < 65; ++s) {
    struct sigaction after = {};
    if (sigaction(s, nullptr, &after) != 0) continue;  // glibc keeps two for itself
    EXPECT_EQ(after.sa_handler, before[s].sa_handler) << "signal " << s;
  }
}

}  // namespace
}  // namespace sonde::testing
