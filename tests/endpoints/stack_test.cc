// SPDX-License-Identifier: Apache-2.0
// The profiles that count by stack, over an agent with known numbers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "agent/endpoints/stack_profile.h"
#include "agent/http/socket.h"
#include "collectors/safe/region_file.h"
#include "tests/endpoints/endpoint_test.h"

namespace sonde {
namespace {

class StackEndpoint : public testing::EndpointTest {
 protected:
  // Of each thread, the sum of all its samples.
  static std::map<int64_t, int64_t> SumByThread(const pprof::Profile& profile, size_t type) {
    std::map<int64_t, int64_t> sums;
    for (const pprof::Sample& sample : profile.samples) {
      for (const pprof::Label& label : sample.labels) {
        if (profile.Text(label.key) == "tid") sums[label.number] += sample.values.at(type);
      }
    }
    return sums;
  }
};

TEST_F(StackEndpoint, ThreadCreateCountsThreadsThatLive) {
  const pprof::Profile profile = Decoded(Get(ServeThreadCreate).response);
  ASSERT_EQ(profile.sample_types.size(), 2U);
  EXPECT_EQ(profile.Text(profile.default_sample_type), "threadcreate");
  EXPECT_EQ(Sum(profile, "threadcreate"), 11);
  EXPECT_EQ(Sum(profile, "created"), 15);
  std::string comments;
  for (const uint32_t comment : profile.comments) comments += profile.Text(comment) + "\n";
  EXPECT_NE(comments.find("lost: 1, stack_table_full"), std::string::npos) << comments;
}

TEST_F(StackEndpoint, ThreadCreateAsTextIsGosLayoutMostFirst) {
  const std::string text = Get(ServeThreadCreate, "debug=1").response.body;
  EXPECT_TRUE(text.starts_with("threadcreate profile: total 11\n")) << text;
  const size_t most = text.find("\n8 @ 0x");
  const size_t unknown = text.find("\n2 @\n# created 0\n#\t[unknown creator]\n");
  ASSERT_NE(most, std::string::npos) << text;
  ASSERT_NE(unknown, std::string::npos) << text;
  EXPECT_LT(most, unknown);
  EXPECT_NE(text.find("ParseRequest"), std::string::npos) << text;
}

TEST_F(StackEndpoint, SecondsGiveWhatChangedMeanwhile) {
  http::Answer answer = Get(ServeThreadCreate, "seconds=2");
  ASSERT_NE(answer.later, nullptr);
  EXPECT_EQ(context_.open_captures, 1);
  const pprof::Profile profile = Decoded(answer.later->Finish());
  EXPECT_EQ(Sum(profile, "created"), 12);
  EXPECT_EQ(Sum(profile, "threadcreate"), 0);
  EXPECT_EQ(profile.samples.size(), 1U);
  answer.later.reset();
  EXPECT_EQ(context_.open_captures, 0);
}

TEST_F(StackEndpoint, BadParametersSayWhatWasExpected) {
  for (const char* query : {"seconds=0", "seconds=x", "seconds=301", "debug=2", "debug="}) {
    const http::Response response = Get(ServeThreadCreate, query).response;
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_NE(response.body.find("expected"), std::string::npos) << response.body;
  }
}

TEST_F(StackEndpoint, OffSaysWhyAndAlsoWhenItIsSwitchedOffMeanwhile) {
  http::Answer answer = Get(ServeThreadCreate, "seconds=2");
  sources_.creators().Switch(false);
  const http::Response late = answer.later->Finish();
  EXPECT_EQ(late.status, 503);
  const http::Response response = Get(ServeThreadCreate).response;
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("SONDE_THREAD_STACKS=off"), std::string::npos) << response.body;
}

TEST_F(StackEndpoint, MutexHasGosTypesAndTheHoldersDelay) {
  const pprof::Profile profile = Decoded(Get(ServeMutex).response);
  ASSERT_EQ(profile.sample_types.size(), 2U);
  EXPECT_EQ(profile.Text(profile.sample_types[0].type), "contentions");
  EXPECT_EQ(profile.Text(profile.sample_types[0].unit), "count");
  EXPECT_EQ(profile.Text(profile.sample_types[1].type), "delay");
  EXPECT_EQ(profile.Text(profile.sample_types[1].unit), "nanoseconds");
  EXPECT_EQ(Sum(profile, "contentions"), 100);
  EXPECT_EQ(Sum(profile, "delay"), 10'000'000'000);
}

TEST_F(StackEndpoint, BlockTellsKindsOfLocksApart) {
  const pprof::Profile profile = Decoded(Get(ServeBlock).response);
  ASSERT_EQ(profile.samples.size(), 3U);
  EXPECT_EQ(Sum(profile, "delay"), 9'000'001'000);
  const std::string text = Get(ServeBlock, "debug=1").response.body;
  EXPECT_NE(text.find("# lock condition\n"), std::string::npos) << text;
  EXPECT_NE(text.find("[dropped: stack_table_full]"), std::string::npos) << text;
}

constexpr int64_t kSecond = 1'000'000'000;

TEST_F(StackEndpoint, WaitsThatGoOnAreInBlockWithALabelAndNotInMutex) {
  sources_.contention().SetOpen({{1, 5 * kSecond}, {2, 3 * kSecond}});
  for (const char* query : {"debug=1", "debug=1&last=30s"}) {
    const std::string text = Get(ServeBlock, query).response.body;
    EXPECT_NE(text.find("\n8000000000 @ 0x"), std::string::npos) << text;  // the two as one
    EXPECT_NE(text.find("# contentions 2\n# lock mutex\n# state waiting\n"), std::string::npos);
    EXPECT_NE(text.find("# contentions 60\n# lock mutex\n#\t"), std::string::npos) << text;
    EXPECT_NE(text.find("state=waiting: waits that go on"), std::string::npos) << text;
    EXPECT_NE(text.find("not known of 2 threads"), std::string::npos) << text;
  }
  const pprof::Profile profile = Decoded(Get(ServeBlock).response);
  EXPECT_EQ(profile.samples.size(), 4U);
  EXPECT_EQ(Sum(profile, "delay"), 17'000'001'000);
  EXPECT_EQ(Sum(profile, "contentions"), 66);
  EXPECT_EQ(Get(ServeMutex, "debug=1").response.body.find("waiting"), std::string::npos);
}

// The sums by whether they have ended, of a window: contentions and delay.
using Sums = std::map<std::string, std::pair<int64_t, int64_t>>;
Sums ByState(const pprof::Profile& profile) {
  Sums sums;
  for (const pprof::Sample& sample : profile.samples) {
    std::string state = "ended";
    for (const pprof::Label& label : sample.labels) {
      if (profile.Text(label.key) == kStateLabel) state = profile.Text(label.text);
    }
    sums[state].first += sample.values.at(0);
    sums[state].second += sample.values.at(1);
  }
  return sums;
}

TEST_F(StackEndpoint, AWaitThatGoesOnInAWindowCountsWithItsPartOfIt) {
  sources_.contention().SetOpen({{1, 5 * kSecond}});
  http::Answer answer = Get(ServeBlock, "seconds=2");
  sources_.contention().SetOpen({{1, 7 * kSecond}, {2, kSecond}});
  const pprof::Profile profile = Decoded(answer.later->Finish());
  // The first began before, and was a contention then.
  EXPECT_EQ(ByState(profile), (Sums{{"waiting", {1, 3 * kSecond}}}));
}

TEST_F(StackEndpoint, AWaitThatEndsInAWindowIsNotCountedTwice) {
  sources_.contention().SetOpen({{1, 5 * kSecond}, {2, 50 * kSecond}});
  http::Answer answer = Get(ServeBlock, "seconds=2");
  sources_.contention().End(6 * kSecond);  // a second after it was seen
  sources_.contention().SetOpen({{2, 52 * kSecond}});
  const pprof::Profile profile = Decoded(answer.later->Finish());
  EXPECT_EQ(ByState(profile), (Sums{{"ended", {0, kSecond}}, {"waiting", {0, 2 * kSecond}}}));
}

TEST_F(StackEndpoint, AWaitThatNobodyMeasuredTakesNothingFromThoseThatEnded) {
  sources_.contention().SetOpen({{1, 5 * kSecond, false}});
  http::Answer answer = Get(ServeBlock, "seconds=2");
  sources_.contention().End(kSecond);  // of another
  sources_.contention().SetOpen({});
  EXPECT_EQ(ByState(Decoded(answer.later->Finish())), (Sums{{"ended", {1, kSecond}}}));
}

TEST_F(StackEndpoint, AWaitWhoseEndWasNotRecordedIsGoneWithoutATrace) {
  sources_.contention().SetOpen({{1, 5 * kSecond}});
  http::Answer answer = Get(ServeBlock, "seconds=2");
  sources_.contention().SetOpen({});
  EXPECT_TRUE(Decoded(answer.later->Finish()).samples.empty());
}

TEST_F(StackEndpoint, MutexOfSecondsIsWhatCameMeanwhile) {
  http::Answer answer = Get(ServeMutex, "seconds=1");
  ASSERT_NE(answer.later, nullptr);
  const pprof::Profile profile = Decoded(answer.later->Finish());
  EXPECT_EQ(Sum(profile, "delay"), 1'000'000'000);
}

TEST_F(StackEndpoint, WhatIsOffIsAnEmptyProfileThatSaysSo) {
  sources_.contention().Switch(false);
  const http::Response response = Get(ServeMutex).response;
  EXPECT_EQ(response.status, 200);
  const pprof::Profile profile = Decoded(response);
  EXPECT_TRUE(profile.samples.empty());
  ASSERT_FALSE(profile.comments.empty());
  EXPECT_EQ(profile.Text(profile.comments[0]), "off: SONDE_LOCKS=off");
  EXPECT_NE(Get(ServeBlock, "debug=1").response.body.find("# off: "), std::string::npos);
}

TEST_F(StackEndpoint, LastIsFromTheRecordingAndSaysWhatIsMissing) {
  const http::Answer answer = Get(ServeBlock, "last=30s");
  EXPECT_EQ(answer.later, nullptr);
  const pprof::Profile profile = Decoded(answer.response);
  EXPECT_EQ(Sum(profile, "delay"), 9'000'001'000);
  EXPECT_EQ(profile.duration_nanos, 10'000'000'000);
  std::string comments;
  for (const auto comment : profile.comments) comments += profile.Text(comment) + "\n";
  EXPECT_NE(comments.find("window: asked for 30s, have 10s"), std::string::npos) << comments;
  EXPECT_NE(comments.find("window: locks were switched on at"), std::string::npos) << comments;
  EXPECT_NE(Get(ServeMutex, "last=30s&debug=1").response.body.find("have 10s"), std::string::npos);
}

TEST_F(StackEndpoint, WhatWasRecordedBeforeLocksWereSwitchedOffIsThere) {
  sources_.contention().Switch(false);
  const pprof::Profile profile = Decoded(Get(ServeMutex, "last=10s").response);
  EXPECT_EQ(Sum(profile, "contentions"), 100);
  std::string comments;
  for (const auto comment : profile.comments) comments += profile.Text(comment) + "\n";
  EXPECT_NE(comments.find("locks are not measured now: SONDE_LOCKS=off"), std::string::npos);
}

TEST_F(StackEndpoint, BadTimesSayWhatWasExpected) {
  for (const char* query : {"last=0s", "last=5x", "last=5s&seconds=3", "from=x"}) {
    const http::Response response = Get(ServeMutex, query).response;
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_NE(response.body.find("expected"), std::string::npos) << query << response.body;
  }
  EXPECT_EQ(Get(ServeThreadCreate, "last=5s").response.status, 400);
}

// Compared with when the threads were looked at, not with a clock of the test: on a busy machine
// looks come late.
TEST_F(StackEndpoint, WallTimesOfAThreadAddUpToTheWindow) {
  constexpr uint64_t kWindowNs = 1'000'000'000;
  std::atomic<bool> end{false};
  std::thread sleeper([&] {
    while (!end) usleep(1000);
  });
  const uint64_t before_ns = MonotonicNs();
  http::Answer answer = Get(ServeWall, "seconds=1&hz=50");
  ASSERT_NE(answer.later, nullptr);
  (void)answer.later->ready_at_ms();
  const uint64_t first_look_over_ns = MonotonicNs();
  while (answer.later->ready_at_ms() > http::NowMs()) usleep(2000);
  const pprof::Profile profile = Decoded(answer.later->Finish());
  end = true;
  sleeper.join();
  const testing::WallLooks looks = sources_.wall().looks();
  EXPECT_GE(looks.first_ns, before_ns);
  EXPECT_LE(looks.first_ns, first_look_over_ns);
  EXPECT_GE(looks.last_ns + 1'000'000, before_ns + kWindowNs);  // deadlines are whole milliseconds
  const auto window_ns = static_cast<int64_t>(looks.last_ns - looks.first_ns);
  const auto sums = SumByThread(profile, 1);
  ASSERT_GE(sums.size(), 2U);
  for (const auto& [tid, wall_ns] : sums) EXPECT_EQ(wall_ns, window_ns) << tid;
}

TEST_F(StackEndpoint, WallOfThePastIsCpuSamplesAndWhatWasRecorded) {
  const pprof::Profile profile = Decoded(Get(ServeWall, "last=30s").response);
  std::map<std::string, int64_t> by_state;
  std::set<std::string> calls;
  for (const pprof::Sample& sample : profile.samples) {
    for (const pprof::Label& label : sample.labels) {
      if (profile.Text(label.key) == "state")
        by_state[profile.Text(label.text)] += sample.values[1];
      if (profile.Text(label.key) == "system_call") calls.insert(profile.Text(label.text));
    }
  }
  EXPECT_EQ(by_state["off-cpu"], 8'000'000'000);
  EXPECT_GT(by_state["on-cpu"], 0);
  EXPECT_TRUE(calls.contains("epoll_wait"));
  std::string comments;
  for (const auto comment : profile.comments) comments += profile.Text(comment) + "\n";
  EXPECT_NE(comments.find("window: asked for 30s, have 10s"), std::string::npos) << comments;
  EXPECT_NE(comments.find("window: waiting is recorded since"), std::string::npos) << comments;
}

TEST_F(StackEndpoint, WallThatWasNotRecordedSaysHowItIs) {
  sources_.wall().Switch(false);
  const pprof::Profile profile = Decoded(Get(ServeWall, "last=30s").response);
  EXPECT_TRUE(profile.samples.empty());
  ASSERT_FALSE(profile.comments.empty());
  EXPECT_EQ(profile.Text(profile.comments[0]), "off: SONDE_WALL=off");
  EXPECT_EQ(Get(ServeWall, "last=30s&seconds=2").response.status, 400);
}

TEST_F(StackEndpoint, WallRefusesWhatItCannotDo) {
  for (const char* query : {"seconds=0", "hz=0", "hz=101", "debug=2"}) {
    EXPECT_EQ(Get(ServeWall, query).response.status, 400) << query;
  }
  http::Answer first = Get(ServeWall, "seconds=5");
  http::Answer second = Get(ServeWall, "seconds=5");
  EXPECT_EQ(Get(ServeWall, "seconds=5").response.status, 429);
  first.later.reset();
  EXPECT_NE(Get(ServeWall, "seconds=5").later, nullptr);
  second.later.reset();
  EXPECT_EQ(context_.open_walls, 0);
}

TEST(StackDelta, WhatIsGoneCountsBelowNothing) {
  StackProfile before, after;
  before.samples = {{{1, 2}, true, "", 7, 0, {}, {5, 3}}, {{3}, true, "", 7, 0, {}, {1, 1}}};
  after.samples = {{{1, 2}, true, "", 7, 0, {}, {6, 1}}, {{1, 2}, true, "", 8, 0, {}, {2, 2}}};
  const StackProfile delta = StackDelta(before, after);
  ASSERT_EQ(delta.samples.size(), 3U);
  EXPECT_EQ(delta.samples[0].values, (std::array<int64_t, 2>{1, -2}));
  EXPECT_EQ(delta.samples[1].values, (std::array<int64_t, 2>{2, 2}));
  EXPECT_EQ(delta.samples[2].values, (std::array<int64_t, 2>{-1, -1}));
}

}  // namespace
}  // namespace sonde
