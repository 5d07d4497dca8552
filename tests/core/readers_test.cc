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
  Folder folder_{*region_, Folder::Start::kFromEmpty, {.idle_folds = 3}};
  std::vector<Reader> readers_;
  Counts all_;
};

TEST_F(Readers, ThatOverlapAtRandomEachSeeTheirOwnInterval) {
  Recorder recorder(now_);
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
  EXPECT_EQ(CountsOf(recorder.Collect(0, UINT64_MAX)), all_);
}

TEST_F(Readers, WithLittleMemoryCountWhatDoesNotFit) {
  Capture small(now_, 4096);
  folder_.AddSink(&small, now_);
  for (int i = 0; i < 1000; ++i) Record();
  folder_.Fold(now_ += kSecond);
  uint64_t offered = 0;
  uint64_t recorded = 0;
  for (const auto& [who, events] : all_) offered += events;
  for (const auto& [who, events] : CountsOf(small.Collect())) recorded += events;
  EXPECT_GT(recorded, 0u);
  EXPECT_LE(small.memory_bytes(), 4096u);
  EXPECT_EQ(recorded + LostIn(small.Collect(), DropReason::kReaderFull), offered);
}

TEST_F(Readers, OfThePastGetWholeStepsAndAreToldWhich) {
  Recorder recorder(now_, {.step_ns = 10 * kSecond, .steps = 6, .max_bytes = 1 << 20});
  folder_.AddSink(&recorder, now_);
  for (uint64_t second = 1; second <= 100; ++second) {
    ASSERT_EQ(region_.Record(region_.Thread(1), 1 + second / 10), DropReason::kNone);
    folder_.Fold(now_ += kSecond);
  }
  // 100 s, of which the last 6 steps are left: five whole ones and the one that has just begun.
  const FoldProfile past = recorder.Collect(0, UINT64_MAX);
  EXPECT_EQ(past.from_ns, 51 * kSecond);
  EXPECT_EQ(past.to_ns, 101 * kSecond);
  const FoldProfile part = recorder.Collect(75 * kSecond, 76 * kSecond);
  EXPECT_EQ(part.from_ns, 71 * kSecond);
  EXPECT_EQ(part.to_ns, 81 * kSecond);
  uint64_t events = 0;
  for (const FoldSample& sample : part.samples) events += sample.events;
  EXPECT_EQ(events, 10u);
  EXPECT_EQ(recorder.Collect(0, kSecond).to_ns, 0u);
}

TEST_F(Readers, OfThePastHaveAShorterPastWhenStacksAreMany) {
  Recorder recorder(now_, {.step_ns = kSecond, .steps = 90, .max_bytes = 64 << 10});
  folder_.AddSink(&recorder, now_);
  uint64_t seed = 0;
  for (int second = 0; second < 60; ++second) {
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(region_.Record(region_.Thread(1), ++seed), DropReason::kNone);
    }
    folder_.Fold(now_ += kSecond);
    ASSERT_LE(recorder.memory_bytes(), size_t{64 << 10});
  }
  const FoldProfile past = recorder.Collect(0, UINT64_MAX);
  EXPECT_GT(past.from_ns, 40 * kSecond);
  EXPECT_EQ(past.to_ns, now_);
  EXPECT_EQ(past.samples.size(), (past.to_ns - past.from_ns) / kSecond * 100);
}

}  // namespace
}  // namespace sonde
