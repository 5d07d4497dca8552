// SPDX-License-Identifier: Apache-2.0
// Any number of readers overlap; each gets exactly its own interval. Compared with a model that
// keeps everything.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/fold_recorder.h"
#include "collectors/past.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
using Counts = std::map<std::pair<int32_t, uint64_t>, uint64_t>;  // (tid, stack) → events

Counts CountsOf(const FoldProfile& profile) {
  Counts counts;
  for (const FoldSample& sample : profile.samples) {
    counts[{sample.thread.tid, sample.frames[0]}] += sample.events;
  }
  return counts;
}

uint64_t LostIn(const FoldProfile& profile, DropReason reason) {
  uint64_t events = 0;
  for (const FoldLoss& loss : profile.losses) {
    if (loss.reason == reason) events += loss.events;
  }
  return events;
}

struct Reader {
  std::unique_ptr<Capture> capture;
  Counts expected;
};

class Readers : public testing::Test {
 protected:
  void Record() {
    const auto tid = static_cast<int32_t>(random_() % 8);
    const uint64_t seed = 1 + random_() % 300;
    const uint64_t events = 1 + random_() % 5;
    ASSERT_EQ(region_.Record(region_.Thread(tid), seed, events), DropReason::kNone);
    for (Reader& reader : readers_) reader.expected[{tid, seed}] += events;
    all_[{tid, seed}] += events;
  }
  void Open() {
    readers_.push_back({std::make_unique<Capture>(now_, 4 << 20), {}});
    folder_.AddSink(readers_.back().capture.get(), now_);
  }
  void CheckAndClose(size_t i) {
    folder_.RemoveSink(readers_[i].capture.get(), now_);
    EXPECT_EQ(CountsOf(readers_[i].capture->Collect()), readers_[i].expected);
    readers_.erase(readers_.begin() + static_cast<ptrdiff_t>(i));
  }

  std::mt19937_64 random_{42};
  uint64_t now_ = kSecond;
  RegionForTesting region_;
  Past PastOf(uint64_t from_ns, uint64_t to_ns, std::vector<uint64_t> cuts = {}) const {
    return ReadPast(*region_, from_ns, to_ns, 64 << 20, cuts);
  }

  Coverage coverage_{kSecond};
  Folder folder_{*region_, Folder::Start::kFromEmpty, {.idle_folds = 3}};
  std::vector<Reader> readers_;
  Counts all_;
};

TEST_F(Readers, ThatOverlapAtRandomEachSeeTheirOwnInterval) {
  Recorder recorder(*region_, &coverage_, now_);
  folder_.AddSink(&recorder, now_);
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t what = random_() % 100;
    if (what < 80) Record();
    if (what >= 80 && what < 90) folder_.Fold(now_ += kSecond / 20);
    if (what >= 90 && what < 95 && readers_.size() < 10) Open();
    if (what >= 95 && !readers_.empty()) CheckAndClose(random_() % readers_.size());
  }
  while (!readers_.empty()) CheckAndClose(0);
  folder_.Fold(now_ += kSecond);
  recorder.Flush();
  EXPECT_EQ(CountsOf(PastOf(0, UINT64_MAX).pieces[0]), all_);
}

TEST_F(Readers, WithLittleMemoryCountWhatDoesNotFit) {
  CaptureMemory memory(4096);
  Capture small(now_, &memory);
  folder_.AddSink(&small, now_);
  for (int i = 0; i < 1000; ++i) Record();
  folder_.Fold(now_ += kSecond);
  uint64_t offered = 0;
  uint64_t recorded = 0;
  for (const auto& [who, events] : all_) offered += events;
  for (const auto& [who, events] : CountsOf(small.Collect())) recorded += events;
  EXPECT_GT(recorded, 0u);
  EXPECT_LE(memory.memory_bytes(), 4096u);
  EXPECT_EQ(recorded + LostIn(small.Collect(), DropReason::kReaderFull), offered);
}

TEST_F(Readers, OfThePastGetWholeStepsAndAreToldWhich) {
  Recorder recorder(*region_, &coverage_, now_);
  folder_.AddSink(&recorder, now_);
  for (uint64_t second = 1; second <= 105; ++second) {
    ASSERT_EQ(region_.Record(region_.Thread(1), 1 + second / 10), DropReason::kNone);
    folder_.Fold(now_ += kSecond);
  }
  // Ten whole steps and one that is being filled.
  const Past past = PastOf(0, UINT64_MAX);
  EXPECT_EQ(past.pieces[0].from_ns, kSecond);
  EXPECT_EQ(past.pieces[0].to_ns, 106 * kSecond);
  EXPECT_EQ(past.covered_ns, 105 * kSecond);
  EXPECT_EQ(past.gaps, std::vector<Gap>());
  const Past part = PastOf(75 * kSecond, 76 * kSecond);
  EXPECT_EQ(part.pieces[0].from_ns, 71 * kSecond);
  EXPECT_EQ(part.pieces[0].to_ns, 81 * kSecond);
  EXPECT_EQ(part.oldest_ns, kSecond);
  uint64_t events = 0;
  for (const FoldSample& sample : part.pieces[0].samples) events += sample.events;
  EXPECT_EQ(events, 10u);
  EXPECT_TRUE(PastOf(0, kSecond).pieces.empty());
  const Past apart = PastOf(0, UINT64_MAX, {41 * kSecond, 45 * kSecond, 300 * kSecond});
  ASSERT_EQ(apart.pieces.size(), 3u);
  EXPECT_EQ(apart.pieces[0].to_ns, 41 * kSecond);
  EXPECT_EQ(apart.pieces[1].from_ns, 41 * kSecond);
  EXPECT_EQ(apart.pieces[1].to_ns, 51 * kSecond);
  EXPECT_EQ(apart.pieces[2].to_ns, 106 * kSecond);
  EXPECT_EQ(apart.covered_ns, 105 * kSecond);
}

TEST_F(Readers, OfThePastLoseNoStepToOneWhoLookedAtTheClockEarlier) {
  Recorder recorder(*region_, &coverage_, now_);
  folder_.AddSink(&recorder, now_);
  ASSERT_EQ(region_.Record(region_.Thread(1), 1), DropReason::kNone);
  folder_.Fold(now_ + kSecond);
  recorder.CloseStep();
  ASSERT_EQ(region_.Record(region_.Thread(1), 2), DropReason::kNone);
  folder_.Fold(now_ + kSecond / 2);
  ASSERT_EQ(region_.Record(region_.Thread(1), 3), DropReason::kNone);
  folder_.FoldCounts(now_ + kSecond / 4);
  for (int second = 2; second <= 12; ++second) folder_.Fold(now_ + second * kSecond);
  const Past past = PastOf(0, UINT64_MAX);
  EXPECT_EQ(past.damaged, 0u);
  EXPECT_EQ(past.covered_ns, 12 * kSecond);
  EXPECT_EQ(past.gaps, std::vector<Gap>());
  uint64_t events = 0;
  for (const FoldSample& sample : past.pieces.at(0).samples) events += sample.events;
  EXPECT_EQ(events, 3u);
}

TEST_F(Readers, OfThePastHaveAShorterPastWhenStacksAreMany) {
  Recorder recorder(*region_, &coverage_, now_, {.step_ns = kSecond});
  folder_.AddSink(&recorder, now_);
  uint64_t seed = 0;
  for (int second = 0; second < 600; ++second) {
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(region_.Record(region_.Thread(1), ++seed << 20), DropReason::kNone);
    }
    folder_.Fold(now_ += kSecond);
    ASSERT_LE(recorder.memory_bytes(), size_t{1 << 20});
  }
  const Past past = PastOf(0, UINT64_MAX);
  EXPECT_TRUE(past.is_overwritten);
  EXPECT_EQ(past.oldest_ns, past.pieces[0].from_ns);
  EXPECT_GT(past.pieces[0].from_ns, 40 * kSecond);
  EXPECT_LT(past.pieces[0].from_ns, 500 * kSecond);
  EXPECT_EQ(past.pieces[0].to_ns, now_);
  EXPECT_EQ(past.pieces[0].samples.size(),
            (past.pieces[0].to_ns - past.pieces[0].from_ns) / kSecond * 200);
}

TEST_F(Readers, OfThePastAreToldOfGaps) {
  {
    Recorder first(*region_, &coverage_, now_);
    folder_.AddSink(&first, now_);
    for (int second = 0; second < 13; ++second) folder_.Fold(now_ += kSecond);
    folder_.RemoveSink(&first, now_);
  }
  now_ += 7 * kSecond;  // nobody records
  Recorder second(*region_, &coverage_, now_);
  folder_.AddSink(&second, now_);
  coverage_.Set(GapReason::kKillSwitch, now_ + 2 * kSecond);
  coverage_.Set(GapReason::kNone, now_ + 6 * kSecond);
  for (int i = 0; i < 10; ++i) folder_.Fold(now_ += kSecond);
  const Past past = PastOf(0, UINT64_MAX);
  EXPECT_EQ(past.pieces[0].from_ns, kSecond);
  EXPECT_EQ(past.pieces[0].to_ns, 31 * kSecond);
  EXPECT_EQ(past.covered_ns, 19 * kSecond);
  ASSERT_EQ(past.gaps.size(), 2u);
  EXPECT_EQ(past.gaps[0], (Gap{14 * kSecond, 21 * kSecond, GapReason::kAgentAway}));
  EXPECT_EQ(past.gaps[1].reason, GapReason::kKillSwitch);
  EXPECT_EQ(past.gaps[1].to_ns - past.gaps[1].from_ns, 4 * kSecond);
}

TEST_F(Readers, OfThePastSeeAHotStackThroughMoreStacksThanAStepHolds) {
  Recorder recorder(*region_, &coverage_, now_, {.open_bytes = 64 << 10});
  folder_.AddSink(&recorder, now_);
  const ThreadId thread = region_.Thread(1);
  uint64_t seed = 1000;
  for (int second = 0; second < 20; ++second) {
    for (int i = 0; i < 500; ++i) {
      ASSERT_EQ(region_.Record(thread, ++seed << 20), DropReason::kNone);
      ASSERT_EQ(region_.Record(thread, 7), DropReason::kNone);
    }
    folder_.Fold(now_ += kSecond);
    ASSERT_LE(recorder.memory_bytes(), size_t{64 << 10});
  }
  const Past past = PastOf(0, UINT64_MAX);
  uint64_t hot = 0;
  uint64_t events = LostIn(past.pieces[0], DropReason::kReaderFull);
  EXPECT_GT(events, 0u) << "the step held everything: the test shows nothing";
  for (const FoldSample& sample : past.pieces[0].samples) {
    events += sample.events;
    if (sample.frames[0] == 7) hot += sample.events;
  }
  EXPECT_EQ(events, 20'000u);
  EXPECT_GE(hot, 9'800u);
}

}  // namespace
}  // namespace sonde
