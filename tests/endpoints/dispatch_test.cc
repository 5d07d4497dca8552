// SPDX-License-Identifier: Apache-2.0
// Every row of the endpoint table, asked without sockets.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/endpoints.h"
#include "agent/http/socket.h"
#include "profile/decode.h"
#include "profile/time_text.h"
#include "tests/endpoints/fake_sources.h"

namespace sonde::testing {
namespace {

class DispatchTest : public ::testing::Test {
 protected:
  DispatchTest() : config_(Environment()), context_(&sources_, &config_), endpoints_(&context_) {
    context_.inside_container = true;
  }

  http::Answer Ask(const std::string& method, const std::string& target,
                   const std::string& body = "", http::Door door = http::Door::kUnix) {
    http::Request request;
    request.method = method;
    request.path = target.substr(0, target.find('?'));
    if (target.find('?') != target.npos) request.query = target.substr(target.find('?') + 1);
    request.headers = {{"host", "127.0.0.1"}};
    request.body = body;
    request.peer = {door, -1, door == http::Door::kUnix ? static_cast<int64_t>(geteuid()) : -1};
    http::Answer answer = endpoints_.Handle(request);
    if (answer.later == nullptr) endpoints_.CountResponse(request.path, answer.response.status);
    return answer;
  }
  http::Response Get(const std::string& target) { return Ask("GET", target).response; }
  static std::string HeaderOf(const http::Response& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return {};
  }

  FakeSources sources_;
  ConfigStore config_;
  Context context_;
  Endpoints endpoints_;
};

TEST_F(DispatchTest, GivesMappedObjectsInPiecesAndNothingElse) {
  const std::string path = "/debug/sonde/objects/";
  const auto ask = [&](const std::string& name, const std::string& query) {
    http::Request request;
    request.method = "GET";
    request.path = path + name;
    request.query = query;
    return ServeObject(context_, request).response;
  };
  for (const char* name : {"", "00ff00ff", "..", "%2e%2e%2fetc%2fpasswd", "passwd"})
    EXPECT_EQ(ask(name, "").status, 404) << name;
  for (const char* query : {"size=0", "size=1048577", "offset=-1", "offset=x"})
    EXPECT_EQ(ask("00ff00ff", query).status, 400) << query;
}

TEST_F(DispatchTest, EveryGetOfTheTableAnswersAndChangesNothing) {
  for (const Endpoint& endpoint : EndpointTable()) {
    if (endpoint.method != "GET") continue;
    const uint64_t generation = config_.generation();
    EXPECT_NE(endpoint.need, http::Need::kChange) << endpoint.path;
    const http::Answer answer = Ask("GET", std::string(endpoint.path));
    // No object has the build id "{build-id}".
    const bool takes_a_name = endpoint.path.ends_with('}');
    EXPECT_TRUE(answer.later != nullptr || answer.response.status < 400 ||
                (takes_a_name && answer.response.status == 404))
        << endpoint.path;
    EXPECT_EQ(config_.generation(), generation) << endpoint.path;
    EXPECT_TRUE(sources_.on()) << endpoint.path;
  }
}

TEST_F(DispatchTest, WhatChangesStateRefusesGetAndStrangers) {
  for (const char* path : {"/debug/sonde/off", "/debug/sonde/on"}) {
    const http::Response response = Get(path);
    EXPECT_EQ(response.status, 405) << path;
    EXPECT_EQ(HeaderOf(response, "Allow"), "POST");
  }
  for (const char* path : {"/debug/sonde/off", "/debug/sonde/on", "/debug/sonde/config"}) {
    EXPECT_EQ(Ask("POST", path, "cpu_hz=1", http::Door::kLocalTcp).response.status, 403) << path;
  }
  EXPECT_TRUE(sources_.on());
  EXPECT_EQ(config_.current().cpu_hz, 100);
  EXPECT_EQ(HeaderOf(Ask("PUT", "/debug/sonde/config").response, "Allow"), "GET, HEAD, POST");
}

TEST_F(DispatchTest, UnknownPathsAndProfilesAre404AsGoSaysIt) {
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_EQ(Get("/nothing").body.substr(0, 18), "404 page not found");
  EXPECT_EQ(Get("/debug/pprof/nonsense").body, "Unknown profile\n");
  EXPECT_EQ(HeaderOf(Get("/debug/pprof/nonsense"), "X-Go-Pprof"), "1");
  EXPECT_EQ(HeaderOf(Get("/debug/pprof"), "Location"), "/debug/pprof/");
}

TEST_F(DispatchTest, BadProfileParametersAre400AndShownByPprof) {
  for (const char* query :
       {"seconds=0", "seconds=-1", "seconds=x", "seconds=", "seconds=1.5", "seconds=301",
        "seconds=99999999999999999999", "hz=0", "hz=1001", "hz=abc"}) {
    const http::Answer answer = Ask("GET", std::string("/debug/pprof/profile?") + query);
    ASSERT_EQ(answer.later, nullptr) << query;
    EXPECT_EQ(answer.response.status, 400) << query;
    EXPECT_EQ(HeaderOf(answer.response, "X-Go-Pprof"), "1");
    EXPECT_NE(answer.response.body.find("expected an integer from 1 to"), std::string::npos);
  }
  EXPECT_EQ(sources_.opened(), 0);
}

TEST_F(DispatchTest, AProfileIsReadyAfterItsSecondsAndEndsItsCapture) {
  const int64_t begin = http::NowMs();
  http::Answer answer = Ask("GET", "/debug/pprof/profile?seconds=7&debug=1&unknown=x");
  ASSERT_NE(answer.later, nullptr);
  EXPECT_GE(answer.later->ready_at_ms(), begin + 7000);
  EXPECT_LE(answer.later->ready_at_ms(), http::NowMs() + 7000);
  EXPECT_EQ(context_.open_captures, 1);
  answer.later.reset();
  EXPECT_EQ(context_.open_captures, 0);
  EXPECT_EQ(sources_.open_captures(), 0);
  const http::Answer fallback = Ask("GET", "/debug/pprof/profile");
  EXPECT_GE(fallback.later->ready_at_ms(), begin + 30000) << "Go's default";
}

TEST_F(DispatchTest, TheRecordingAnswersAtOnceAndSaysWhatItHas) {
  const http::Answer answer = Ask("GET", "/debug/pprof/profile?last=5m");
  ASSERT_EQ(answer.later, nullptr);
  ASSERT_EQ(answer.response.status, 200) << answer.response.body;
  const std::string header = HeaderOf(answer.response, "X-Sonde-Window");
  EXPECT_NE(header.find("asked for 5m, have 3m20s: the agent started then ("), std::string::npos)
      << header;
  const auto decoded = pprof::Decode(answer.response.body);
  ASSERT_TRUE(decoded.ok());
  EXPECT_NEAR(static_cast<double>(decoded->duration_nanos), 200e9, 1e9);
  std::string comments;
  for (const auto id : decoded->comments) comments += decoded->Text(id) + "\n";
  EXPECT_NE(comments.find("window: asked for 5m, have 3m20s"), std::string::npos) << comments;
  const std::string whole = HeaderOf(Get("/debug/pprof/profile?last=30s"), "X-Sonde-Window");
  EXPECT_TRUE(whole.ends_with("covered=30s")) << whole;
  EXPECT_EQ(sources_.opened(), 0);
}

TEST_F(DispatchTest, TheRecordingIsAskedByTimesToo) {
  const int64_t now_ns = http::UnixSeconds() * 1000000000;
  const std::string from = FormatTime(now_ns - 60000000000);
  const std::string seconds = std::to_string(now_ns / 1000000000 - 20);
  const http::Response response = Get("/debug/pprof/profile?from=" + from + "&to=" + seconds);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_TRUE(HeaderOf(response, "X-Sonde-Window").starts_with("from=" + from + "; to="));
  EXPECT_TRUE(HeaderOf(response, "X-Sonde-Window").ends_with("covered=40s"));
  const http::Response before = Get("/debug/pprof/profile?from=1000&to=2000.5");
  EXPECT_EQ(before.status, 404);
  EXPECT_NE(before.body.find("nothing was recorded from 1970-01-01T00:16:40Z to "),
            std::string::npos)
      << before.body;
}

TEST_F(DispatchTest, BadQuestionsAboutThePastAre400AndSayWhatWasExpected) {
  constexpr std::pair<const char*, const char*> kCases[] = {
      {"last=0s", "last: expected a duration from 1s to 24h"},
      {"last=5x", "last: expected a duration"},
      {"last=", "last: expected a duration"},
      {"last=25h", "last: expected a duration"},
      {"last=5m&seconds=3", "expected either seconds and hz"},
      {"last=5m&from=10", "expected either last, or from and to"},
      {"from=yesterday", "from: expected a time, as 2026-11-21T09:14:05Z or seconds since 1970"},
      {"from=2026-02-30T00:00:00Z", "from: expected a time"},
      {"from=2026-11-21T09:14:05", "from: expected a time"},
      {"from=20&to=10", "from: expected a time before to"},
      {"to=10", "to: needs from"},
  };
  for (const auto& [query, expected] : kCases) {
    const http::Answer answer = Ask("GET", std::string("/debug/pprof/profile?") + query);
    ASSERT_EQ(answer.later, nullptr) << query;
    EXPECT_EQ(answer.response.status, 400) << query;
    EXPECT_EQ(HeaderOf(answer.response, "X-Go-Pprof"), "1");
    EXPECT_NE(answer.response.body.find(expected), std::string::npos) << answer.response.body;
  }
}

TEST_F(DispatchTest, NotesOfAWindowNameItsGaps) {
  constexpr int64_t kSecondNs = 1000000000;
  CpuWindow window;
  window.from_unix_ns = 1795252445 * kSecondNs;
  window.to_unix_ns = window.from_unix_ns + 60 * kSecondNs;
  window.covered_ns = 40 * kSecondNs;
  window.gaps = {{window.from_unix_ns + 10 * kSecondNs, window.from_unix_ns + 30 * kSecondNs,
                  "the kill switch was on"}};
  EXPECT_EQ(WindowNotes(window, window.from_unix_ns, window.to_unix_ns),
            (std::vector<std::string>{"asked for 1m, have 40s",
                                      "gap 09:14:15-09:14:35 UTC (20s): the kill switch was on"}));
  window.covered_ns = 60 * kSecondNs;
  window.gaps.clear();
  EXPECT_TRUE(WindowNotes(window, window.from_unix_ns, window.to_unix_ns).empty());
}

TEST_F(DispatchTest, CapturesAreLimitedAndHeadOpensNone) {
  EXPECT_EQ(Ask("HEAD", "/debug/pprof/profile").response.status, 200);
  EXPECT_EQ(sources_.opened(), 0);
  std::vector<http::Answer> open;
  for (int64_t i = 0; i < config_.current().max_captures; ++i) {
    open.push_back(Ask("GET", "/debug/pprof/profile"));
    ASSERT_NE(open.back().later, nullptr);
  }
  const http::Answer refused = Ask("GET", "/debug/pprof/profile");
  EXPECT_EQ(refused.response.status, 429);
  EXPECT_EQ(HeaderOf(refused.response, "X-Go-Pprof"), "1");
  open.clear();
  EXPECT_NE(Ask("GET", "/debug/pprof/profile").later, nullptr);
}

TEST_F(DispatchTest, OffIsFollowedByOn) {
  EXPECT_EQ(Ask("POST", "/debug/sonde/off").response.status, 200);
  EXPECT_FALSE(sources_.on());
  const http::Answer refused = Ask("GET", "/debug/pprof/profile");
  EXPECT_EQ(refused.response.status, 503);
  EXPECT_NE(refused.response.body.find("the agent is off"), std::string::npos);
  EXPECT_EQ(Ask("POST", "/debug/sonde/on").response.body, "on\n");
  EXPECT_TRUE(sources_.on());
}

TEST_F(DispatchTest, OffForAWhileIsASettingThatComesBack) {
  EXPECT_EQ(Ask("POST", "/debug/sonde/off?for=10m").response.status, 200);
  EXPECT_FALSE(config_.current().enable);
  config_.Tick(http::NowMs() + 601000);
  EXPECT_TRUE(config_.current().enable);
  EXPECT_EQ(Ask("POST", "/debug/sonde/off", "for=10m").response.status, 200);
  EXPECT_EQ(Ask("POST", "/debug/sonde/on").response.body, "on\n");
  EXPECT_TRUE(config_.current().enable);
  EXPECT_EQ(Ask("POST", "/debug/sonde/off?for=sometime").response.status, 400);
  EXPECT_TRUE(config_.current().enable);
}

TEST_F(DispatchTest, SettingsAreChangedByFormAndByLines) {
  EXPECT_EQ(Ask("POST", "/debug/sonde/config?cpu_hz=50").response.status, 200);
  EXPECT_EQ(config_.current().cpu_hz, 50);
  EXPECT_EQ(Ask("POST", "/debug/sonde/config", "cpu_hz=60&max_captures=2").response.status, 200);
  EXPECT_EQ(config_.current().max_captures, 2);
  EXPECT_EQ(Ask("POST", "/debug/sonde/config", "SONDE_CPU_HZ = 70\r\ncpu = off\n").response.status,
            200);
  EXPECT_EQ(config_.current().cpu_hz, 70);
  EXPECT_FALSE(config_.current().cpu);
  const http::Response refused = Ask("POST", "/debug/sonde/config", "cpu_hz=80&cpu=maybe").response;
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("expected on or off"), std::string::npos);
  EXPECT_EQ(config_.current().cpu_hz, 70) << "half a change was applied";
  EXPECT_EQ(Ask("POST", "/debug/sonde/config").response.status, 400);
}

TEST_F(DispatchTest, CmdlineIsNulSeparatedAndCanBeRedacted) {
  const std::string plain = Get("/debug/pprof/cmdline").body;
  EXPECT_NE(plain.find("endpoints_test"), std::string::npos);
  EXPECT_NE(plain.back(), '\0');
  ASSERT_EQ(Ask("POST", "/debug/sonde/config", "redact_cmdline=on").response.status, 200);
  const std::string redacted = Get("/debug/pprof/cmdline").body;
  EXPECT_EQ(redacted.substr(0, redacted.find('\0')), plain.substr(0, plain.find('\0')));
  if (plain.find('\0') != plain.npos) {
    EXPECT_TRUE(redacted.ends_with("[redacted]"));
  }
}

TEST_F(DispatchTest, SymbolsAreNamedAsPprofAsksForThem) {
  EXPECT_EQ(Get("/debug/pprof/symbol").body, "num_symbols: 1\n");
  char address[32];
  std::snprintf(address, sizeof(address), "%#lx", reinterpret_cast<unsigned long>(&ParseRequest));
  const std::string body = std::string(address) + "+0x1+garbage+";
  const std::string expected =
      "num_symbols: 1\n" + std::string(address) + " sonde::testing::ParseRequest()\n";
  const std::string by_post = Ask("POST", "/debug/pprof/symbol", body).response.body;
  EXPECT_EQ(by_post.substr(0, by_post.find('(')), expected.substr(0, expected.find('(')));
  EXPECT_EQ(by_post, Get("/debug/pprof/symbol?" + body).body);
  EXPECT_EQ(std::count(by_post.begin(), by_post.end(), '\n'), 2) << by_post;
}

TEST_F(DispatchTest, RequestsAreCountedUnderPathsOfTheTableOnly) {
  Get("/healthz");
  Get("/healthz");
  for (int i = 0; i < 100; ++i) Get("/made-up/" + std::to_string(i));
  const std::string metrics = Get("/metrics").body;
  EXPECT_NE(metrics.find("sonde_http_requests_total{path=\"/healthz\",code=\"200\"} 2\n"),
            std::string::npos);
  EXPECT_NE(metrics.find("sonde_http_requests_total{path=\"other\",code=\"404\"} 100\n"),
            std::string::npos);
  EXPECT_EQ(metrics.find("made-up"), std::string::npos);
}

TEST_F(DispatchTest, AProfileHoldsExactlyWhatWasSampled) {
  CpuProfileInput input;
  input.window.samples = FakeSamples(100.0, 100, getpid());
  input.window.rate_hz = 100;
  input.window.from_unix_ns = 1700000000000000000;
  input.window.covered_ns = 125000000000;
  input.dropped = {{"table_full", 7}};
  const auto decoded = pprof::Decode(BuildCpuProfile(input, &sources_, &context_.Symbols()));
  ASSERT_TRUE(decoded.ok());
  const pprof::Profile& profile = *decoded;
  EXPECT_EQ(profile.Text(profile.sample_types[0].type), "samples");
  EXPECT_EQ(profile.Text(profile.sample_types[1].unit), "nanoseconds");
  EXPECT_EQ(profile.Text(profile.period_type.type), "cpu");
  EXPECT_EQ(profile.period, 10000000);
  EXPECT_EQ(profile.duration_nanos, input.window.covered_ns);
  int64_t samples = 0;
  int64_t nanoseconds = 0;
  for (const auto& sample : profile.samples) {
    samples += sample.values[0];
    nanoseconds += sample.values[1];
    EXPECT_EQ(sample.labels.size(), 3u);
  }
  EXPECT_EQ(samples, 10000);
  EXPECT_EQ(nanoseconds, 100000000000);
  std::string comments;
  for (const auto id : profile.comments) comments += profile.Text(id) + "\n";
  EXPECT_NE(comments.find("100 Hz"), std::string::npos);
  EXPECT_NE(comments.find("7 samples, table_full"), std::string::npos);
  EXPECT_NE(comments.find("not covered: /usr/lib/libexample.so"), std::string::npos);
}

TEST(CountsSince, TellsOnlyWhatWasAdded) {
  const auto gained = CountsSince({{"a", 5}, {"b", 1}}, {{"a", 7}, {"b", 1}, {"c", 2}});
  ASSERT_EQ(gained.size(), 2u);
  EXPECT_EQ(gained[0].count, 2u);
  EXPECT_EQ(gained[1].name, "c");
}

}  // namespace
}  // namespace sonde::testing
