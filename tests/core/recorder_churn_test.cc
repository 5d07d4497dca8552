// SPDX-License-Identifier: Apache-2.0
// The recording under a churn of distinct stacks: its memory stays within bounds, its shares stay
// true, and afterwards a new hot stack is there again. In simulated time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <map>
#include <random>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/fold_recorder.h"
#include "collectors/past.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kHotFrame = 0x1234567;
constexpr size_t kPastBytes = 2 << 20;

class RecordedChurn : public testing::Test {
 protected:
  RecordedChurn() { folder_.AddSink(&recorder_, now_); }

  // Depths from 1 to 24; the first frames of any two differ.
  void RecordDistinct() {
    frames_[distinct_ % 24] = distinct_;
    const auto depth = static_cast<uint32_t>(1 + distinct_ % 24);
    frames_[0] = ++distinct_ << 32;
    RecordStack(*region_, {frames_, depth, 0}, thread_, Kind::kCpu, 1, kSampleNs);
    ++offered_;
  }
  void RecordKnown(uint64_t frame) {
    region_.Record(thread_, frame, 1, kSampleNs);
    ++offered_;
  }
  void Fold() {
    folder_.Fold(now_ += kSecond);
    most_bytes_ = std::max(most_bytes_, recorder_.memory_bytes());
  }
  Past PastOf(uint64_t from_ns, uint64_t to_ns) {
    recorder_.Flush();
    return ReadPast(*region_, from_ns, to_ns, kPastBytes);
  }
  struct Sums {
    std::map<uint64_t, uint64_t> by_leaf;
    uint64_t all = 0;  // losses included
  };
  static Sums SumsOf(const Past& past) {
    Sums sums;
    for (const FoldProfile& piece : past.pieces) {
      for (const FoldSample& sample : piece.samples) {
        sums.by_leaf[sample.frames[0]] += sample.events;
        sums.all += sample.events;
      }
      for (const FoldLoss& loss : piece.losses) sums.all += loss.events;
    }
    return sums;
  }

  void ChurnThenHot(uint64_t stacks, uint64_t stacks_per_second);
  void ChurnFor(uint64_t seconds);

  static constexpr uint64_t kSampleNs = 10'000'000;
  uint64_t now_ = kSecond;
  RegionForTesting region_;
  Coverage coverage_{kSecond};
  Folder folder_{*region_, Folder::Start::kFromEmpty};
  Recorder recorder_{*region_, &coverage_, kSecond};
  const ThreadId thread_ = region_.Thread(1);
  uint64_t frames_[24] = {};
  uint64_t distinct_ = 0;
  uint64_t offered_ = 0;
  size_t most_bytes_ = 0;
};

void RecordedChurn::ChurnThenHot(uint64_t stacks, uint64_t stacks_per_second) {
  constexpr uint64_t kHotPerSecond = 100;
  while (distinct_ < stacks) {
    RecordDistinct();
    if (distinct_ % stacks_per_second == 0) Fold();
  }
  Fold();
  recorder_.CloseStep();
  // The last second of the churn filled the tables; what a new stack needs comes free meanwhile.
  const uint64_t churn_end = now_;
  for (int second = 0; second < 40; ++second) {
    for (uint64_t i = 0; i < kHotPerSecond; ++i) RecordKnown(kHotFrame);
    Fold();
  }
  const Sums first = SumsOf(PastOf(churn_end, churn_end + 20 * kSecond));
  const Sums later = SumsOf(PastOf(churn_end + 20 * kSecond, now_));
  printf("hot in the first 20 s: %.1f %%, afterwards: %.1f %%; open step at most %zu bytes\n",
         100.0 * static_cast<double>(first.by_leaf.at(kHotFrame)) / (20.0 * kHotPerSecond),
         100.0 * static_cast<double>(later.by_leaf.at(kHotFrame)) / (20.0 * kHotPerSecond),
         most_bytes_);
  EXPECT_GE(static_cast<double>(first.by_leaf.at(kHotFrame)), 0.75 * 20 * kHotPerSecond);
  EXPECT_GE(static_cast<double>(later.by_leaf.at(kHotFrame)), 0.95 * 20 * kHotPerSecond);
  EXPECT_EQ(later.all, 20 * kHotPerSecond) << "losses are not all there";
  EXPECT_LE(most_bytes_, RecorderOptions().open_bytes);
}

TEST_F(RecordedChurn, OfTenMillionStacksGivesWayToANewHotOne) {
  ChurnThenHot(10'000'000 / kShorter, 100'000);
}
// Run by label slow.
TEST_F(RecordedChurn, DISABLED_OfAHundredMillionStacksGivesWayToANewHotOne) {
  ChurnThenHot(100'000'000, 1'000'000);
}

// Six stacks with 60 % of the samples; the others are seen once and never again.
void RecordedChurn::ChurnFor(uint64_t seconds) {
  constexpr uint64_t kPerSecond = 100;
  const std::map<uint64_t, double> shares = {{0x1001, 0.20}, {0x1002, 0.15}, {0x1003, 0.10},
                                             {0x1004, 0.08}, {0x1005, 0.05}, {0x1006, 0.02}};
  std::mt19937_64 random(42);
  std::uniform_real_distribution<double> uniform(0, 1);
  CaptureMemory memory(kPastBytes);
  Capture capture(now_, &memory);  // a reader that never leaves
  folder_.AddSink(&capture, now_);
  for (uint64_t second = 0; second < seconds; ++second) {
    for (uint64_t i = 0; i < kPerSecond; ++i) {
      double left = uniform(random);
      auto share = shares.begin();
      while (share != shares.end() && (left -= share->second) >= 0) ++share;
      share == shares.end() ? RecordDistinct() : RecordKnown(share->first);
    }
    Fold();
    ASSERT_LE(memory.memory_bytes(), memory.max_bytes());
  }
  EXPECT_LE(most_bytes_, RecorderOptions().open_bytes);
  const Past past = PastOf(0, now_);
  ASSERT_EQ(past.pieces.size(), 1u);
  const Sums sums = SumsOf(past);
  const uint64_t window_s = (past.pieces[0].to_ns - past.pieces[0].from_ns) / kSecond;
  EXPECT_EQ(sums.all, window_s * kPerSecond);
  uint64_t captured = 0;
  std::map<uint64_t, uint64_t> of_capture;
  const FoldProfile profile = capture.Collect();
  for (const FoldSample& sample : profile.samples) {
    of_capture[sample.frames[0]] += sample.events;
    captured += sample.events;
  }
  for (const FoldLoss& loss : profile.losses) captured += loss.events;
  EXPECT_EQ(captured, offered_);
  printf("the recording reaches %.1f min back\n", static_cast<double>(window_s) / 60);
  // By chance a window of ten minutes is off by 0.2 points (one standard deviation, at 20 %).
  for (const auto& [leaf, share] : shares) {
    const auto all = static_cast<double>(sums.all);
    const double seen = static_cast<double>(sums.by_leaf.at(leaf)) / all;
    const double lasting = static_cast<double>(of_capture.at(leaf)) / static_cast<double>(captured);
    printf("%.0f %%: recorded %.2f %%, in a capture of all of it %.2f %%\n", 100 * share,
           100 * seen, 100 * lasting);
    EXPECT_NEAR(seen, share, 0.02);
    EXPECT_NEAR(lasting, share, 0.02);
  }
}

TEST_F(RecordedChurn, OfTwoHoursKeepsSharesAndMemory) {
  ChurnFor(2 * 3600 / std::min<uint64_t>(kShorter, 4));
}
// Run by label slow.
TEST_F(RecordedChurn, DISABLED_OfADayKeepsSharesAndMemory) { ChurnFor(24 * 3600); }

}  // namespace
}  // namespace sonde
