// SPDX-License-Identifier: Apache-2.0
// Killed at every access to a shared word: a forked child ends at the k-th, for every k; the
// survivor goes on, and takes back what the dead one held. At most the one sample that was on its
// way is lost.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/safe/region_mappings.h"
#include "collectors/safe/region_ring.h"
#include "tests/core/model.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr RegionCounts kSmall = {.stacks = 2,
                                 .chunks = 4,
                                 .cells = 2,
                                 .threads = 4,
                                 .processes = 2,
                                 .live = 1,
                                 .mappings_bytes = 64,
                                 .ring_bytes = 512,
                                 .open_step_bytes = 512};
constexpr FoldOptions kEvictSoon = {.idle_folds = 1, .grace_ns = 1, .pressure_percent = 100};

// Runs `body` in a child that dies before its k-th access. False: it came to its end.
bool DiesAt(int k, const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    model::on_step = [left = k]() mutable {
      if (left-- == 0) _exit(1);
    };
    body();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status) != 0;
}

uint64_t EventsIn(const FoldProfile& profile) {
  uint64_t events = 0;
  for (const FoldSample& sample : profile.samples) events += sample.events;
  for (const FoldLoss& loss : profile.losses) events += loss.events;
  return events;
}

// Everything is free again, and can all be used at once.
void ExpectWholeCapacity(const RegionForTesting& region, Folder* folder, uint64_t now) {
  for (int i = 0; i < 6; ++i) folder->Fold(now += kSecond);
  EXPECT_EQ(CountUsedChunks(*region), 0u);
  EXPECT_EQ(folder->report().stacks, 0u);
  EXPECT_EQ(folder->report().cells, 0u);
  EXPECT_EQ(folder->report().stuck_writers, 0u);
  const ThreadId thread = region.Thread(77);
  ASSERT_TRUE(thread.valid);
  // Two stacks of two chunks fill slots and chunks to the last one, if the hashes of the two name
  // both slots.
  int recorded = 0;
  for (uint64_t seed = 1; seed < 40; ++seed) {
    recorded += region.Record(thread, seed, 1, 1, 2 * kFramesPerChunk) == DropReason::kNone;
  }
  EXPECT_EQ(recorded, 2);
  EXPECT_EQ(CountUsedChunks(*region), 4u);
}

TEST(KilledAtEveryAccess, AWriterLosesAtMostItsOwnSample) {
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    const ThreadId survivor = region.Thread(1);
    const ThreadId victim = region.Thread(2);
    Folder folder(*region, Folder::Start::kFromEmpty, kEvictSoon);
    Capture capture(kSecond, 1 << 20);
    folder.AddSink(&capture, kSecond);
    died = DiesAt(k, [&] { region.Record(victim, 0xa, 10, 1, 20); });
    MarkThreadGone(*region, victim);
    EXPECT_EQ(region.Record(survivor, 0xa, 1, 1, 20), DropReason::kNone) << "killed at " << k;
    for (uint64_t i = 2; i < 8; ++i) folder.Fold(i * kSecond);
    const uint64_t events = EventsIn(capture.Collect());
    EXPECT_TRUE(events == 1 || events == 11) << events << ", killed at " << k;
    EXPECT_TRUE(died || events == 11) << "lost a sample without a death";
    ExpectWholeCapacity(region, &folder, 10 * kSecond);
  }
  EXPECT_GT(k, 40) << "too few accesses: they are not seen";
}

TEST(KilledAtEveryAccess, AColdSideIsSucceededByAnother) {
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    const ThreadId thread = region.Thread(1);
    ASSERT_EQ(region.Record(thread, 0xa, 1, 1, 20), DropReason::kNone);
    const ThreadId gone = region.Thread(2);
    MarkThreadGone(*region, gone);
    died = DiesAt(k, [&] {
      Folder folder(*region, Folder::Start::kFromEmpty, kEvictSoon);
      for (uint64_t i = 1; i < 6; ++i) folder.Fold(i * kSecond);
    });
    Folder folder(*region, Folder::Start::kFromNow, kEvictSoon);
    Capture capture(kSecond, 1 << 20);
    folder.AddSink(&capture, 10 * kSecond);
    EXPECT_EQ(region.Record(thread, 0xa, 5, 1, 20), DropReason::kNone) << "killed at " << k;
    folder.Fold(11 * kSecond);
    EXPECT_EQ(EventsIn(capture.Collect()), 5u) << "killed at " << k;
    ExpectWholeCapacity(region, &folder, 20 * kSecond);
  }
  EXPECT_GT(k, 100) << "too few accesses: they are not seen";
}

TEST(KilledAtEveryAccess, AThreadThatClaimsItsSlotLeavesAUsableTable) {
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    died = DiesAt(k, [&] { SetThreadName(*region, region.Thread(5), "victim"); });
    for (uint32_t i = 0; i < UsedThreadSlots(*region); ++i) {
      const ThreadState state = ReadThreadState(*region, i);
      if (state.state == SlotState::kLive) MarkThreadGone(*region, {i, state.generation, true});
    }
    Folder folder(*region, Folder::Start::kFromNow, kEvictSoon);
    for (uint64_t i = 1; i < 5; ++i) folder.Fold(i * kSecond);
    for (int32_t tid = 10; tid < 14; ++tid) EXPECT_TRUE(region.Thread(tid).valid) << k;
    EXPECT_FALSE(region.Thread(14).valid);
    EXPECT_EQ(ReadThread(*region, 0).name[0], '\0') << "another thread's name, killed at " << k;
  }
  EXPECT_GT(k, 5);
}

TEST(KilledAtEveryAccess, AWriterOfMappingsLeavesTheLastWholeText) {
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    ASSERT_TRUE(StoreMappings(*region, "first one\n", 10));
    ASSERT_TRUE(StoreMappings(*region, "the second\n", 11));
    died = DiesAt(k, [&] { StoreMappings(*region, "a third, longer text\n", 21); });
    char text[64];
    const std::string read(text, LoadMappings(*region, text, sizeof text));
    EXPECT_EQ(read, died ? "the second\n" : "a third, longer text\n") << "killed at " << k;
  }
  EXPECT_GT(k, 4);
}

// What the steps of a ring hold, each as its first byte times a hundred plus its length.
std::vector<int> StepsIn(const Region& region) {
  std::vector<int> steps;
  RingCursor cursor = OldestStep(region);
  RingStep step;
  std::vector<char> bytes(MaxStepBytes(region));
  for (RingRead read; (read = ReadStep(region, &cursor, &step, bytes.data())) != RingRead::kEnd;) {
    EXPECT_EQ(read, RingRead::kStep);
    EXPECT_EQ(step.end_ns, step.start_ns + 1);
    steps.push_back(bytes[0] * 100 + static_cast<int>(step.bytes));
  }
  return steps;
}

TEST(KilledAtEveryAccess, ARecorderLeavesWholeStepsAndTheNextOneGoesOn) {
  const auto append = [](const RegionForTesting& region, char first, uint32_t bytes) {
    const std::string payload(bytes, first);
    const auto start_ns = static_cast<uint64_t>(first);
    return AppendStep(*region, {start_ns, start_ns + 1, bytes}, payload.data());
  };
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    // 64 words; records of 5 + 13, 5 + 14 and 5 + 12: the fourth needs the room of two.
    ASSERT_TRUE(append(region, 1, 100) && append(region, 2, 110) && append(region, 3, 90));
    died = DiesAt(k, [&] { append(region, 4, 200); });
    const std::vector<int> steps = StepsIn(*region);
    const std::vector<int> tries[] = {{200, 310, 390}, {310, 390}, {390}, {390, 600}};
    EXPECT_TRUE(std::ranges::count(tries, steps) == 1) << "killed at " << k;
    EXPECT_EQ(steps == tries[3], !died) << "killed at " << k;
    ASSERT_TRUE(append(region, 5, 200));
    EXPECT_EQ(StepsIn(*region).back(), 700) << "killed at " << k;
  }
  EXPECT_GT(k, 30);
}

TEST(KilledAtEveryAccess, AnOpenStepIsTheOldOneOrTheNewOne) {
  int k = 0;
  for (bool died = true; died; ++k) {
    RegionForTesting region(kSmall);
    ASSERT_TRUE(StoreOpenStep(*region, {1, 2, 8}, "an older"));
    ASSERT_TRUE(StoreOpenStep(*region, {1, 3, 7}, "the old"));
    died = DiesAt(k, [&] { StoreOpenStep(*region, {1, 4, 12}, "the new step"); });
    RingStep step;
    std::vector<char> bytes(MaxStepBytes(*region));
    ASSERT_TRUE(ReadOpenStep(*region, &step, bytes.data())) << "killed at " << k;
    EXPECT_EQ(std::string(bytes.data(), step.bytes), died ? "the old" : "the new step");
    EXPECT_EQ(step.end_ns, died ? 3u : 4u);
  }
  EXPECT_GT(k, 7);
}

}  // namespace
}  // namespace sonde
