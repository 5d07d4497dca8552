// SPDX-License-Identifier: Apache-2.0
// Clients that mean harm or are broken. After each of them a plain request must still be answered.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/http/client.h"
#include "tests/http/running_server.h"

namespace sonde::testing {
namespace {

constexpr int kMaxConnections = http::Limits{}.max_connections;

// Short deadlines, so that tests need not wait for the real ones.
http::Limits Impatient() {
  http::Limits limits;
  limits.request_deadline_ms = 300;
  limits.idle_limit_ms = 400;
  limits.write_stall_ms = 400;
  limits.write_deadline_ms = 1500;
  limits.drain_ms = 200;
  return limits;
}

void ExpectStillAlive(const RunningServer& server) {
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/echo?alive", "Connection: close\r\n")));
  EXPECT_EQ(BodyOf(client.ReadResponse()), "GET alive ");
}

int StatusFor(const RunningServer& server, std::string_view bytes) {
  Client client(server.port());
  client.Send(bytes);
  return StatusOf(client.ReadResponse());
}

TEST(Hostile, ASlowHeaderIsCutAtTheDeadlineHoweverSteadilyItComes) {
  RunningServer server(Impatient());
  Client client(server.port());
  ASSERT_TRUE(client.Send("GET /echo HTTP/1.1\r\nHost: x\r\n"));
  const auto begin = std::chrono::steady_clock::now();
  bool open = true;
  while (open && std::chrono::steady_clock::now() - begin < std::chrono::seconds(3)) {
    open = client.Send("X-A: b\r\n") && !client.ClosedWithin(20);
  }
  EXPECT_FALSE(open) << "a trickle of headers kept the connection";
  EXPECT_EQ(server.handler().CountOf(408), 1);
  ExpectStillAlive(server);
}

TEST(Hostile, AConnectionThatSaysNothingIsClosed) {
  RunningServer server(Impatient());
  Client client(server.port());
  EXPECT_TRUE(client.ClosedWithin(2000));
  Client idle(server.port());
  ASSERT_TRUE(idle.Send(Get("/echo")));
  EXPECT_EQ(StatusOf(idle.ReadResponse()), 200);
  EXPECT_TRUE(idle.ClosedWithin(2000)) << "kept alive beyond the idle limit";
}

TEST(Hostile, ATooLongHeadIs431) {
  RunningServer server;
  EXPECT_EQ(StatusFor(server, Get("/echo", "X: " + std::string(17000, 'x') + "\r\n")), 431);
  EXPECT_EQ(StatusFor(server, Get("/" + std::string(17000, 'x'))), 431);
  std::string many;
  for (int i = 0; i < 200; ++i) many += "A: b\r\n";
  EXPECT_EQ(StatusFor(server, Get("/echo", many)), 431);
  EXPECT_EQ(StatusFor(server,
                      Get("/echo", "X: " + std::string(15000, 'x') + "\r\nConnection: close\r\n")),
            200);
  ExpectStillAlive(server);
}

TEST(Hostile, ATooLongBodyIs413BeforeItIsSent) {
  RunningServer server;
  EXPECT_EQ(StatusFor(server, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"),
            413);
  EXPECT_EQ(
      StatusFor(
          server,
          "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
      400);
  std::string chunked = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 80; ++i) chunked += "400\r\n" + std::string(1024, 'c') + "\r\n";
  EXPECT_EQ(StatusFor(server, chunked), 413);
  ExpectStillAlive(server);
}

TEST(Hostile, EndlessChunkExtensionsAndTrailersAreBounded) {
  RunningServer server;
  const std::string head = "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(StatusFor(server, head + "1;" + std::string(300000, 'e')), 413);
  std::string trailers = head + "0\r\n";
  for (int i = 0; i < 20000; ++i) trailers += "Trailer: tttttttttt\r\n";
  EXPECT_EQ(StatusFor(server, trailers), 413);
  ExpectStillAlive(server);
}

TEST(Hostile, WhatIsNotARequestIs400) {
  RunningServer server;
  for (const char* bytes :
       {"garbage\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "SSH-2.0-OpenSSH\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    EXPECT_EQ(StatusFor(server, bytes), 400) << bytes;
  }
  EXPECT_EQ(StatusFor(server, "GET / HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(StatusFor(server, "GET / HTTP/9.9\r\n\r\n"), 505);
  EXPECT_EQ(StatusFor(server, "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
  EXPECT_EQ(
      StatusFor(server,
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\nx"),
      417);
  ExpectStillAlive(server);
}

TEST(Hostile, IdleConnectionsMakeRoomForOneThatAsks) {
  RunningServer server;
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(std::make_unique<Client>(server.port()));
  ExpectStillAlive(server);
  EXPECT_LE(server.connections(), static_cast<size_t>(kMaxConnections) + 16);
}

TEST(Hostile, WhenAllConnectionsAreBusyTheNextIsTold503) {
  RunningServer server;
  std::vector<std::unique_ptr<Client>> busy;
  for (int i = 0; i < kMaxConnections; ++i) {
    busy.push_back(std::make_unique<Client>(server.port()));
    ASSERT_TRUE(busy.back()->Send(Get("/slow?60000")));
  }
  ASSERT_TRUE(
      RunningServer::Eventually([&] { return server.handler().waiting == kMaxConnections; }));
  EXPECT_EQ(StatusFor(server, Get("/echo")), 503);
  EXPECT_EQ(server.handler().waiting, kMaxConnections) << "nobody who waits was thrown out";
  std::vector<std::unique_ptr<Client>> flood;
  for (int i = 0; i < 300; ++i) flood.push_back(std::make_unique<Client>(server.port()));
  EXPECT_LE(server.connections(), static_cast<size_t>(kMaxConnections) + 16);
  flood.clear();
  busy.clear();
  ASSERT_TRUE(RunningServer::Eventually([&] { return server.connections() == 0; }));
  ExpectStillAlive(server);
}

TEST(Hostile, AClientThatDoesNotReadIsDropped) {
  RunningServer server(Impatient());
  Client client(server.port());
  ASSERT_TRUE(client.Send(Get("/big?50000000")));
  ASSERT_TRUE(RunningServer::Eventually([&] { return server.connections() == 1; }));
  EXPECT_TRUE(RunningServer::Eventually([&] { return server.connections() == 0; }));
  ExpectStillAlive(server);
}

TEST(Hostile, AnEndlessStreamAfterAnErrorIsNotReadForEver) {
  RunningServer server(Impatient());
  Client client(server.port());
  ASSERT_TRUE(client.Send("garbage\r\n\r\n"));
  const auto begin = std::chrono::steady_clock::now();
  while (client.Send(std::string(1000, 'g')) &&
         std::chrono::steady_clock::now() - begin < std::chrono::seconds(5)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  ExpectStillAlive(server);
}

}  // namespace
}  // namespace sonde::testing
