// SPDX-License-Identifier: Apache-2.0
// The heap endpoints over an agent with known numbers.
#include <gtest/gtest.h>

#include <string>

#include "agent/endpoints/heap_profile.h"
#include "tests/endpoints/endpoint_test.h"

namespace sonde {
namespace {

constexpr int64_t kMiB = 1 << 20;

using HeapEndpoint = testing::EndpointTest;

TEST_F(HeapEndpoint, HeapShowsWhatIsInUseFirst) {
  const http::Answer answer = Get(ServeHeapProfile);
  ASSERT_EQ(answer.response.status, 200);
  const pprof::Profile profile = Decoded(answer.response);
  ASSERT_EQ(profile.sample_types.size(), 4U);
  EXPECT_EQ(profile.Text(profile.sample_types[0].type), "alloc_objects");
  EXPECT_EQ(profile.Text(profile.sample_types[3].type), "inuse_space");
  EXPECT_EQ(profile.Text(profile.sample_types[3].unit), "bytes");
  EXPECT_EQ(profile.Text(profile.default_sample_type), "inuse_space");
  EXPECT_EQ(profile.Text(profile.period_type.type), "space");
  EXPECT_EQ(profile.period, 512 << 10);
  EXPECT_EQ(Sum(profile, "inuse_space"), 12 * kMiB);
  EXPECT_EQ(Sum(profile, "inuse_objects"), 3 * 1024 + 9);
  EXPECT_EQ(Sum(profile, "alloc_space"), 80 * kMiB);
}

TEST_F(HeapEndpoint, AllocsShowsAllAllocationsFirst) {
  const pprof::Profile profile = Decoded(Get(ServeAllocsProfile).response);
  EXPECT_EQ(profile.Text(profile.default_sample_type), "alloc_space");
  EXPECT_EQ(Sum(profile, "inuse_space"), 12 * kMiB);
}

TEST_F(HeapEndpoint, SecondsShowOnlyWhatChangedMeanwhile) {
  http::Answer answer = Get(ServeHeapProfile, "seconds=1");
  ASSERT_NE(answer.later, nullptr);
  EXPECT_EQ(context_.open_captures, 1);
  const pprof::Profile profile = Decoded(answer.later->Finish());
  EXPECT_EQ(Sum(profile, "inuse_space"), 1 * kMiB);
  EXPECT_EQ(Sum(profile, "alloc_space"), 0);
  EXPECT_EQ(profile.samples.size(), 1U);
  answer.later.reset();
  EXPECT_EQ(context_.open_captures, 0);
}

TEST_F(HeapEndpoint, AgeLeavesYoungBlocksOut) {
  const pprof::Profile profile = Decoded(Get(ServeHeapProfile, "age=10m").response);
  EXPECT_EQ(Sum(profile, "inuse_space"), 9 * kMiB);
}

TEST_F(HeapEndpoint, LastAndPeakAreAskedOfTheAgent) {
  EXPECT_EQ(Get(ServeHeapProfile, "last=5m").response.status, 200);
  EXPECT_EQ(sources_.Heap().asked().last_ms, 300'000);
  EXPECT_FALSE(sources_.Heap().asked().peak);
  EXPECT_EQ(Get(ServeAllocsProfile, "last=30s").response.status, 200);
  EXPECT_EQ(sources_.Heap().asked().last_ms, 30'000);
  EXPECT_EQ(Get(ServeHeapProfile, "peak=1").response.status, 200);
  EXPECT_TRUE(sources_.Heap().asked().peak);
  EXPECT_EQ(Get(ServeHeapProfile, "peak=0").response.status, 200);
  EXPECT_FALSE(sources_.Heap().asked().peak);
}

TEST_F(HeapEndpoint, QuestionsThatExcludeEachOtherAreRefused) {
  for (const char* query : {"peak=1&last=5m", "peak=1&seconds=5", "last=5m&seconds=5",
                            "peak=1&age=10m", "peak=2", "last=x", "last=0s", "last=25h"}) {
    const http::Answer answer = Get(ServeHeapProfile, query);
    EXPECT_EQ(answer.response.status, 400) << query;
    EXPECT_NE(answer.response.body.find("expected"), std::string::npos) << query;
  }
  EXPECT_EQ(Get(ServeAllocsProfile, "peak=1").response.status, 400);
}

TEST_F(HeapEndpoint, ReleaseIsRefusedWhereTheServiceWouldWaitUnlessForced) {
  const http::Answer refused = Get(ReleaseMemory);
  EXPECT_EQ(refused.response.status, 409);
  EXPECT_NE(refused.response.body.find("expected force=1"), std::string::npos);
  const http::Answer done = Get(ReleaseMemory, "force=1");
  EXPECT_EQ(done.response.status, 200);
  EXPECT_NE(done.response.body.find("\"rss_after_bytes\": 346030080"), std::string::npos)
      << done.response.body;
  EXPECT_EQ(Get(ReleaseMemory, "force=yes").response.status, 400);
}

TEST_F(HeapEndpoint, ACollectionOfGarbageIsAcceptedAndIgnored) {
  EXPECT_EQ(Get(ServeHeapProfile, "gc=1").response.status, 200);
}

TEST_F(HeapEndpoint, BadParametersSayWhatWasExpected) {
  for (const char* query : {"debug=2", "age=x", "age=-1", "age=", "age=9999999999d", "seconds=0",
                            "seconds=x", "seconds=99999999"}) {
    const http::Answer answer = Get(ServeHeapProfile, query);
    EXPECT_EQ(answer.response.status, 400) << query;
    EXPECT_NE(answer.response.body.find("expected"), std::string::npos) << query;
  }
}

TEST_F(HeapEndpoint, DebugIsTextWithTheSameSums) {
  const http::Answer answer = Get(ServeHeapProfile, "debug=1");
  EXPECT_TRUE(answer.response.body.starts_with(
      "heap profile: 3081: 12582912 [61460: 83886080] @ heapprofile\n3072: "))
      << answer.response.body.substr(0, 200);
  EXPECT_NE(answer.response.body.find("9: 9437184 [20: 20971520] @ 0x"), std::string::npos);
  EXPECT_NE(answer.response.body.find("\nMAPPED_LIBRARIES:\n"), std::string::npos);
}

TEST_F(HeapEndpoint, WhenOffTheAnswerSaysWhy) {
  sources_.Heap().Switch(false);
  const http::Answer answer = Get(ServeHeapProfile);
  EXPECT_EQ(answer.response.status, 503);
  EXPECT_NE(answer.response.body.find("SONDE_HEAP=off"), std::string::npos);
}

HeapSample SampleOf(uint64_t frame, int64_t inuse_bytes) {
  HeapSample sample;
  sample.frames = {frame};
  sample.inuse_bytes = inuse_bytes;
  return sample;
}

TEST(HeapDelta, IsNegativeForWhatShrankAndLeavesOutWhatStayed) {
  HeapSnapshot before, after;
  before.samples = {SampleOf(1, 100), SampleOf(2, 50), SampleOf(3, 7)};
  after.samples = {SampleOf(1, 30), SampleOf(2, 50), SampleOf(4, 9)};
  const HeapSnapshot delta = HeapDelta(before, after);
  ASSERT_EQ(delta.samples.size(), 3U);
  EXPECT_EQ(delta.samples[0].inuse_bytes, -70);
  EXPECT_EQ(delta.samples[1].inuse_bytes, -7);
  EXPECT_EQ(delta.samples[2].inuse_bytes, 9);
}

}  // namespace
}  // namespace sonde
