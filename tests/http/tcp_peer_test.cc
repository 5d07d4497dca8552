// SPDX-License-Identifier: Apache-2.0
#include "agent/http/tcp_peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "agent/http/socket.h"
#include "tests/http/client.h"

namespace sonde::http {
namespace {

constexpr char kLine[] =
    "   4: 0100007F:1DEF 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 "
    "48213 1 0";

TEST(UidOfTcpLine, FindsTheOwnerOfAHeldConnection) {
  EXPECT_EQ(UidOfTcpLine(kLine, "0100007F:1DEF", "0100007F:C350"), 1000);
  EXPECT_EQ(UidOfTcpLine(kLine, "0100007F:C350", "0100007F:1DEF"), -1) << "the other end";
}

// The kernel shows uid 0 for a socket that its owner has closed: not root.
TEST(UidOfTcpLine, ASocketThatNobodyHoldsBelongsToNobody) {
  std::string orphan = kLine;
  orphan.replace(orphan.find("1000 "), 5, "   0 ");
  EXPECT_EQ(UidOfTcpLine(orphan, "0100007F:1DEF", "0100007F:C350"), 0);
  orphan.replace(orphan.find("48213"), 5, "    0");
  EXPECT_EQ(UidOfTcpLine(orphan, "0100007F:1DEF", "0100007F:C350"), -1);
  std::string closing = kLine;
  closing.replace(closing.find(" 01 "), 4, " 05 ");
  EXPECT_EQ(UidOfTcpLine(closing, "0100007F:1DEF", "0100007F:C350"), -1);
}

TEST(UidOfTcpLine, BrokenLinesAreNobodys) {
  const std::string line = kLine;
  for (size_t size = 0; size < line.find("1000") + 4; ++size) {
    EXPECT_EQ(UidOfTcpLine(line.substr(0, size), "0100007F:1DEF", "0100007F:C350"), -1) << size;
  }
}

class TcpPeerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    Address address = *ParseAddress(GetParam());
    address.port = 0;
    listener_ = static_cast<int>(Listen(address));
    ASSERT_GE(listener_, 0);
    sockaddr_in6 bound = {};
    socklen_t size = sizeof(bound);
    ASSERT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &size), 0);
    port_ = ntohs(bound.sin6_port);  // at the same place for IPv4
  }
  void TearDown() override { close(listener_); }
  int AcceptOne() {
    pollfd wait = {listener_, POLLIN, 0};
    return poll(&wait, 1, 2000) == 1 ? static_cast<int>(Accept(listener_)) : -1;
  }
  int listener_ = -1;
  uint16_t port_ = 0;
};

// :0 is a dual-stack socket, so an IPv4 client is in the table of IPv4 and our end in that of IPv6.
INSTANTIATE_TEST_SUITE_P(Listeners, TcpPeerTest, ::testing::Values("127.0.0.1:1", ":1"));

TEST_P(TcpPeerTest, OurOwnConnectionIsOurs) {
  sonde::testing::Client client(port_);
  const int fd = AcceptOne();
  ASSERT_GE(fd, 0);
  EXPECT_EQ(TcpPeerUid(fd), getuid());
  client.Close();
  EXPECT_EQ(TcpPeerUid(fd), -1) << "a client that has closed is nobody, above all not root";
  close(fd);
}

TEST_P(TcpPeerTest, AnotherUsersConnectionIsTheirs) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(1);
    sonde::testing::Client client(port_);
    client.ClosedWithin(5000);
    _exit(0);
  }
  const int fd = AcceptOne();
  EXPECT_EQ(TcpPeerUid(fd), 65534);
  close(fd);
  waitpid(child, nullptr, 0);
}

TEST(TcpPeer, ASocketThatIsNotTcpHasNoOwnerHere) {
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_EQ(TcpPeerUid(pair[0]), -1);
  EXPECT_EQ(UnixPeerUid(pair[0]), getuid());
  EXPECT_EQ(TcpPeerUid(-1), -1);
  close(pair[0]);
  close(pair[1]);
}

}  // namespace
}  // namespace sonde::http
