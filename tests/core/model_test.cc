// SPDX-License-Identifier: Apache-2.0
// Small scenarios in every order: nothing is lost, nothing is counted twice, nothing goes to
// another stack or thread, and nothing stays behind.
#include "tests/core/model.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr FoldOptions kEvictSoon = {.idle_folds = 1, .grace_ns = 1, .pressure_percent = 100};

// One slot a bucket and as few of everything as there can be, so that everybody meets everybody.
constexpr RegionCounts kTiny = {.stacks = 2,
                                .chunks = 2,
                                .cells = 2,
                                .threads = 2,
                                .processes = 1,
                                .live = 1,
                                .mappings_bytes = 8,
                                .ring_bytes = 512,
                                .open_step_bytes = 512};

class Model : public testing::Test {
 protected:
  Model() {
    for (int32_t i = 0; i < 2; ++i) threads_.push_back(region_.Thread(i));
    scenario_.reset = [this] { Reset(); };
    scenario_.check = [this] { return Check(); };
    // Sums that nobody decides anything by, and a hint.
    scenario_.ignores = [this](const void* address) {
      const Region& region = *region_;
      const auto* at = static_cast<const DropCounter*>(address);
      return (at >= region.drops && at < region.drops + kKindLimit * kDropReasonLimit) ||
             address == &region.header->fold_count || address == &region.header->chunk_cursor;
    };
  }

  // Records the stack `seed` for a thread. Events are a weight that tells who did it.
  void Offer(size_t thread, uint64_t seed, uint64_t events) {
    offered_[{threads_[thread].slot, seed}] += events;
    RecordStack(*region_, {&seed, 1, 0}, threads_[thread], Kind::kCpu, events, events * 7);
  }

  void Sweep(int folds) {
    for (int i = 0; i < folds; ++i) folder_->Fold(now_ += kSecond);
  }

  // All orders. What the region holds now is what each run begins with; it is older than the
  // capture.
  void Explore(std::vector<std::function<void()>> threads) {
    Prepare(std::move(threads));
    const model::Explored explored = model::Explore(scenario_, 2'000'000);
    EXPECT_TRUE(explored.complete) << explored.runs << " runs were not enough";
    Report(explored, "all");
  }

  // Scenarios with too many orders: the first ones in depth, and random ones.
  void Sample(std::vector<std::function<void()>> threads) {
    Prepare(std::move(threads));
    Report(model::Explore(scenario_, 4'000), "the first");
    Report(model::Sample(scenario_, 12'000, 20240607), "random");
  }

  void Oversleep(std::vector<std::function<void()>> threads) {
    Prepare(std::move(threads));
    Report(model::Oversleep(scenario_), "sleeping at each of");
  }

  RegionForTesting region_{kTiny};
  model::Scenario scenario_;
  std::vector<ThreadId> threads_;

 private:
  using Who = std::pair<uint32_t, uint64_t>;  // thread slot, stack

  void Prepare(std::vector<std::function<void()>> threads) {
    fresh_.resize(region_.bytes());
    memcpy(fresh_.data(), region_.memory(), fresh_.size());
    scenario_.threads = std::move(threads);
  }

  static void Report(const model::Explored& explored, const char* which) {
    EXPECT_EQ(explored.failure, "");
    printf("             %s %llu orders, of up to %llu accesses\n", which,
           static_cast<unsigned long long>(explored.runs),
           static_cast<unsigned long long>(explored.longest));
  }

  void Reset() {
    memcpy(region_.memory(), fresh_.data(), fresh_.size());
    offered_.clear();
    now_ = kSecond;
    capture_.emplace(now_, 1 << 20);
    folder_.emplace(*region_, Folder::Start::kFromEmpty, kEvictSoon);
    folder_->AddSink(&*capture_, now_);
  }

  std::string Check() {
    Sweep(6);
    const FoldProfile profile = capture_->Collect();
    uint64_t offered = 0;
    uint64_t accounted = 0;
    for (const auto& [who, events] : offered_) offered += events;
    for (const FoldLoss& loss : profile.losses) accounted += loss.events;
    for (const FoldSample& sample : profile.samples) {
      accounted += sample.events;
      const auto found = offered_.find({sample.thread.slot, sample.frames[0]});
      if (found == offered_.end()) return "counted for somebody who offered nothing";
      if (sample.events > found->second) return "counted more than was offered";
      if (sample.amount != sample.events * 7) return "events and amount do not belong together";
    }
    if (accounted != offered) return "recorded + dropped is not what was offered";
    return CheckNothingLeft();
  }

  std::string CheckNothingLeft() {
    const Region& region = *region_;
    for (uint32_t i = 0; i < region.counts.cells; ++i) {
      if (region.cell_keys[i].Load() != 0) return "a cell stays taken";
      if ((region.cells[i].first.Load() & kMaxCellEvents) != 0) return "a free cell has a count";
    }
    for (uint32_t i = 0; i < region.counts.stacks; ++i) {
      if (ReadStackTag(region, i).state != StackState::kFree) return "a stack slot stays taken";
    }
    return CountUsedChunks(region) == 0 ? "" : "a chunk stays taken";
  }

  std::vector<char> fresh_;
  std::map<Who, uint64_t> offered_;
  std::optional<Capture> capture_;
  std::optional<Folder> folder_;
  uint64_t now_ = 0;
};

TEST_F(Model, TwoThreadsInsertTheSameStack) {
  Explore({[this] { Offer(0, 0xa, 1); }, [this] { Offer(1, 0xa, 10); }});
}

TEST_F(Model, AHandlerIsInterruptedByAnotherOfTheSameThread) {
  Explore({[this] { Offer(0, 0xa, 1); }, [this] { Offer(0, 0xa, 10); }});
}

TEST_F(Model, TwoThreadsInsertDifferentStacks) {
  Explore({[this] { Offer(0, 0xa, 1); }, [this] { Offer(1, 0xb, 10); }});
}

TEST_F(Model, AnInsertionMeetsASweep) {
  Explore({[this] { Offer(0, 0xa, 1); }, [this] { Sweep(1); }});
}

TEST_F(Model, AnInsertionMeetsThreeSweeps) {
  Sample({[this] { Offer(0, 0xa, 1); }, [this] { Sweep(3); }});
}

TEST_F(Model, AFoundCellIsEvicted) {
  Offer(0, 0xa, 100);
  Explore({[this] { Offer(0, 0xa, 1); }, [this] { Sweep(1); }});
}

TEST_F(Model, AFoundCellIsEvictedAndItsStackFreed) {
  Offer(0, 0xa, 100);
  Sample({[this] { Offer(0, 0xa, 1); }, [this] { Sweep(3); }});
}

TEST_F(Model, ARetiringStackIsFoundWhileItIsFreed) {
  Offer(0, 0xa, 100);
  for (uint32_t i = 0; i < kTiny.stacks; ++i) RetireStack(*region_, i);
  Sample({[this] { Offer(0, 0xa, 1); }, [this] { Offer(1, 0xa, 10); }, [this] { Sweep(2); }});
}

TEST_F(Model, AnotherStackTakesThePlaceOfAnEvictedOne) {
  Offer(0, 0xa, 100);
  Sample({[this] { Offer(0, 0xa, 1); },
          [this] {
            Sweep(2);
            Offer(1, 0xb, 10);
          }});
}

TEST_F(Model, TwoWritersAndTheSweep) {
  Offer(0, 0xa, 100);
  Sample({[this] { Offer(0, 0xa, 1); }, [this] { Offer(1, 0xb, 10); }, [this] { Sweep(3); }});
}

// Meanwhile the cell and the stack slots are given to others, until the two generation bits of a
// key come round.
TEST_F(Model, AWriterSleepsThroughGenerations) {
  for (int generations = 1; generations <= 9; ++generations) {
    Offer(0, 0xa, 100);
    Oversleep({[this] { Offer(0, 0xa, 1); },
               [this, generations] {
                 for (int i = 0; i < generations; ++i) {
                   Sweep(4);
                   for (uint64_t seed = 0xb; seed < 0x10; ++seed) Offer(1, seed, 10);
                 }
               }});
  }
}

TEST_F(Model, AReaderSeesTheStackThatItsIdNamesOrNone) {
  Offer(0, 0xa, 100);
  const uint32_t index = ReadStackTag(*region_, 0).state == StackState::kLive ? 0 : 1;
  bool wrong = false;
  int read = 0;
  Sample({[&] {
            uint64_t frames[kMaxDepth] = {};
            uint16_t flags = 0;
            const uint32_t depth = ReadStack(*region_, {index, 0}, frames, &flags);
            wrong |= depth != 0 && (depth != 1 || frames[0] != 0xa);
            read += depth != 0;
          },
          [this] {
            Sweep(2);
            Offer(1, 0xb, 10);
            Offer(1, 0xc, 20);
          }});
  EXPECT_FALSE(wrong);
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace sonde
