// SPDX-License-Identifier: Apache-2.0
#include "agent/http/access.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace sonde::http {
namespace {

constexpr int64_t kOurUid = 1234;
constexpr char kToken[] = "0123456789abcdef";

class AccessTest : public ::testing::Test {
 protected:
  AccessTest() {
    char pattern[] = "/tmp/sonde-access-XXXXXX";
    const int fd = mkstemp(pattern);
    close(fd);
    path_ = pattern;
    std::ofstream(path_) << kToken;
  }
  ~AccessTest() override { unlink(path_.c_str()); }

  // The status of the refusal, 200 when allowed. `uid` is that of a unix peer.
  int Check(Door door, Need need,
            std::initializer_list<std::pair<std::string, std::string>> headers = {},
            int64_t uid = Peer::kUnknown) {
    Request request;
    request.headers = headers;
    if (request.Header("host") == nullptr) request.headers.emplace_back("host", "127.0.0.1:7663");
    request.peer.door = door;
    request.peer.uid = uid;
    TokenFile token(with_token_ ? path_ : "");
    const auto refusal = CheckAccess(
        request, need,
        {.inside_container = inside_, .allowed_hosts = "sonde.internal", .own_uid = kOurUid},
        &token);
    return refusal ? refusal->status : 200;
  }

  std::string path_;
  bool with_token_ = true;
  bool inside_ = true;
};

TEST_F(AccessTest, InsideAContainerLoopbackMayReadAndNotChange) {
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead), 200);
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kChange), 401);
  with_token_ = false;
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead), 200);
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kChange), 403);
}

TEST_F(AccessTest, OutsideAContainerLoopbackIsNotEnough) {
  inside_ = false;
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead), 401);
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead, {{"authorization", "Bearer 0123456789abcdef"}}),
            200);
}

TEST_F(AccessTest, RemoteNeedsTheTokenForEverything) {
  for (Need need : {Need::kHealth, Need::kRead, Need::kChange}) {
    EXPECT_EQ(Check(Door::kRemoteTcp, need), 401);
    EXPECT_EQ(Check(Door::kRemoteTcp, need, {{"authorization", "bearer 0123456789abcdef"}}), 200);
    EXPECT_EQ(Check(Door::kRemoteTcp, need, {{"authorization", "Bearer 0123456789abcdeX"}}), 401);
    EXPECT_EQ(Check(Door::kRemoteTcp, need, {{"authorization", "Basic 0123456789abcdef"}}), 401);
    EXPECT_EQ(Check(Door::kRemoteTcp, need, {{"authorization", "Bearer"}}), 401);
  }
}

TEST_F(AccessTest, TheUnixSocketIsForOurUserAndRoot) {
  for (Need need : {Need::kRead, Need::kChange}) {
    EXPECT_EQ(Check(Door::kUnix, need, {}, kOurUid), 200);
    EXPECT_EQ(Check(Door::kUnix, need, {}, 0), 200);
    EXPECT_EQ(Check(Door::kUnix, need, {}, 4321), 401);
    EXPECT_EQ(Check(Door::kUnix, need, {}, Peer::kUnknown), 401);
  }
}

TEST_F(AccessTest, TheMetricsDoorServesOnlyHealth) {
  EXPECT_EQ(Check(Door::kMetrics, Need::kHealth), 200);
  EXPECT_EQ(Check(Door::kMetrics, Need::kRead), 404);
  EXPECT_EQ(Check(Door::kMetrics, Need::kChange, {{"authorization", "Bearer 0123456789abcdef"}}),
            404);
  EXPECT_EQ(Check(Door::kMetrics, Need::kHealth, {{"host", "pod.example:9663"}}), 200);
}

TEST_F(AccessTest, AReboundNameIsRefused) {
  for (const char* host : {"evil.example", "evil.example:7663", "127.0.0.1.evil.example", "",
                           "localhost.evil", "[evil]", "[::1"}) {
    EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead, {{"host", host}}), 403) << host;
  }
  for (const char* host : {"127.0.0.1", "localhost", "LOCALHOST:1", "[::1]:7663", "10.1.2.3:80",
                           "sonde.internal", "Sonde.Internal:1"}) {
    EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead, {{"host", host}}), 200) << host;
  }
  EXPECT_EQ(Check(Door::kLocalTcp, Need::kRead, {{"host", "localhost"}, {"host", "localhost"}}),
            400);
}

TEST_F(AccessTest, RequestsOfOtherSitesPagesAreRefusedThroughEveryDoor) {
  for (Door door : {Door::kLocalTcp, Door::kRemoteTcp, Door::kMetrics, Door::kUnix}) {
    const std::pair<std::string, std::string> token = {"authorization", "Bearer 0123456789abcdef"};
    EXPECT_EQ(Check(door, Need::kHealth, {token, {"origin", "http://evil.example"}}, kOurUid), 403);
    EXPECT_EQ(Check(door, Need::kHealth, {token, {"origin", "null"}}, kOurUid), 403);
    EXPECT_EQ(Check(door, Need::kHealth, {token, {"sec-fetch-site", "cross-site"}}, kOurUid), 403);
    EXPECT_EQ(Check(door, Need::kHealth, {token, {"sec-fetch-site", "same-site"}}, kOurUid), 403);
    EXPECT_EQ(Check(door, Need::kHealth, {token, {"sec-fetch-site", "same-origin"}}, kOurUid), 200);
    EXPECT_EQ(Check(door, Need::kHealth,
                    {token, {"host", "localhost:1"}, {"origin", "http://localhost:1"}}, kOurUid),
              200);
  }
}

TEST_F(AccessTest, Http11WithoutHostIsRefusedAndHttp10IsNot) {
  Request request;
  TokenFile token("");
  const AccessPolicy policy = {.inside_container = true, .allowed_hosts = {}, .own_uid = kOurUid};
  EXPECT_EQ(CheckAccess(request, Need::kRead, policy, &token)->status, 400);
  request.minor_version = 0;
  EXPECT_FALSE(CheckAccess(request, Need::kRead, policy, &token).has_value());
}

}  // namespace
}  // namespace sonde::http
