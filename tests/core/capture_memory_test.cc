// SPDX-License-Identifier: Apache-2.0
// Many captures at once in one bounded memory: none starves another, and what is given up is in the
// losses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "collectors/fold_capture.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHotFrame = 0x1234567;
constexpr uint32_t kDepth = 40;

class CaptureMemoryTest : public testing::Test {
 protected:
  void Open(size_t count) {
    for (size_t i = 0; i < count; ++i)
      captures_.push_back(std::make_unique<Capture>(now_, &memory_));
  }
  void Give(Capture* capture, uint64_t seed, uint64_t events) {
    std::vector<uint64_t> frames(kDepth, 0x400000);
    frames[0] = seed;
    FoldDelta delta;
    delta.frames = frames;
    delta.hash = seed;
    delta.kind = Kind::kCpu;
    delta.events = events;
    delta.amount = events * 10;
    delta.thread.tid = 1;
    capture->OnDelta(delta);
    offered_[capture] += events;
  }
  void GiveAll(uint64_t seed, uint64_t events) {
    for (const auto& capture : captures_) Give(capture.get(), seed, events);
  }
  // Recorded, of one stack or of all, and lost.
  static uint64_t EventsOf(const FoldProfile& profile, uint64_t seed = 0) {
    uint64_t events = 0;
    for (const FoldSample& sample : profile.samples)
      if (seed == 0 || sample.frames[0] == seed) events += sample.events;
    return events;
  }
  static uint64_t LostOf(const FoldProfile& profile) {
    uint64_t events = 0;
    for (const FoldLoss& loss : profile.losses) {
      EXPECT_EQ(loss.reason, DropReason::kReaderFull);
      events += loss.events;
    }
    return events;
  }
  void ExpectSums() {
    for (const auto& capture : captures_) {
      const FoldProfile profile = capture->Collect();
      EXPECT_EQ(EventsOf(profile) + LostOf(profile), offered_[capture.get()]);
    }
  }

  uint64_t now_ = kSecond;
  CaptureMemory memory_{2 << 20};
  std::vector<std::unique_ptr<Capture>> captures_;
  std::map<Capture*, uint64_t> offered_;
};

TEST_F(CaptureMemoryTest, AStackThatAllHaveSeenIsKeptOnce) {
  Open(32);
  const size_t empty = memory_.memory_bytes();
  for (uint64_t seed = 1; seed <= 100; ++seed) GiveAll(seed, 1);
  const size_t once = 100 * InternedStacks::BytesFor(kDepth);
  EXPECT_LT(memory_.memory_bytes() - empty, once + 32 * 100 * 64 + 32 * 200);
  captures_.clear();
  EXPECT_EQ(memory_.memory_bytes(), 0u);
}

TEST_F(CaptureMemoryTest, ThirtyTwoLargeCapturesStayInBoundsAndKeepWhatIsHeavy) {
  Open(32);
  size_t most = 0;
  for (uint64_t i = 1; i <= 30'000; ++i) {
    GiveAll(uint64_t{1} << 40 | i, 1);
    if (i % 2 == 0) GiveAll(kHotFrame, 1);
    most = std::max(most, memory_.memory_bytes());
  }
  EXPECT_LE(most, memory_.max_bytes());
  ExpectSums();
  for (const auto& capture : captures_) {
    const FoldProfile profile = capture->Collect();
    EXPECT_GT(LostOf(profile), 0u) << "all of it fitted: the test shows nothing";
    EXPECT_GE(EventsOf(profile, kHotFrame), 15'000u * 95 / 100);
  }
}

TEST_F(CaptureMemoryTest, ALargeCaptureGivesWayToASmallOne) {
  Open(1);
  for (uint64_t i = 1; i <= 20'000; ++i) Give(captures_[0].get(), uint64_t{1} << 40 | i, 1);
  const size_t large = captures_[0]->memory_bytes();
  EXPECT_GT(large, memory_.max_bytes() / 4);
  Open(1);
  for (uint64_t i = 1; i <= 500; ++i) {
    Give(captures_[1].get(), uint64_t{2} << 40 | i, 1);
    Give(captures_[0].get(), uint64_t{3} << 40 | i, 1);
  }
  EXPECT_EQ(EventsOf(captures_[1]->Collect()), 500u);
  EXPECT_EQ(LostOf(captures_[1]->Collect()), 0u);
  EXPECT_LE(memory_.memory_bytes(), memory_.max_bytes());
  ExpectSums();
}

TEST_F(CaptureMemoryTest, ThreadsThatCameAndWentDoNotFillIt) {
  Open(1);
  for (int32_t tid = 1; tid <= 100'000; ++tid) {
    uint64_t frames[2] = {static_cast<uint64_t>(tid), 0x400000};
    FoldDelta delta;
    delta.frames = frames;
    delta.hash = static_cast<uint64_t>(tid);
    delta.kind = Kind::kCpu;
    delta.thread.tid = tid;
    delta.thread.slot = static_cast<uint32_t>(tid % 4096);
    delta.thread.generation = static_cast<uint32_t>(tid / 4096);
    delta.events = delta.amount = 1;
    captures_[0]->OnDelta(delta);
    ASSERT_LE(memory_.memory_bytes(), memory_.max_bytes());
  }
  const FoldProfile profile = captures_[0]->Collect();
  EXPECT_EQ(EventsOf(profile) + LostOf(profile), 100'000u);
  EXPECT_GT(profile.samples.size(), 1000u) << "what is new found no room";
  EXPECT_EQ(profile.samples.size(), EventsOf(profile)) << "a thread's samples went to another";
  for (const FoldSample& sample : profile.samples)
    ASSERT_EQ(sample.frames[0], static_cast<uint64_t>(sample.thread.tid));
}

TEST_F(CaptureMemoryTest, CutsBeyondTheLimitGoOnInTheLastPiece) {
  Open(1);
  for (uint64_t i = 1; i <= 100; ++i) {
    Give(captures_[0].get(), i, 1);
    captures_[0]->OnFoldEnd(now_ += kSecond);
    captures_[0]->Cut();
  }
  EXPECT_EQ(captures_[0]->pieces().size(), Capture::kMaxPieces);
  EXPECT_EQ(captures_[0]->pieces()[1]->from_ns, 2 * kSecond);
  EXPECT_EQ(captures_[0]->pieces().back()->to_ns, now_);
  EXPECT_EQ(EventsOf(captures_[0]->Collect()), 100u);
}

}  // namespace
}  // namespace sonde
