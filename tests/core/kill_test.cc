// SPDX-License-Identifier: Apache-2.0
// Killed at every access to a shared word: a forked child ends at the k-th, for every k; the
// survivor goes on, and takes back what the dead one held. At most the one sample that was on its
// way is lost.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>

#include "collectors/fold.h"
#include "collectors/fold_capture.h"
#include "collectors/safe/region_mappings.h"
#include "tests/core/model.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr RegionCounts kSmall = {
    .stacks = 2, .chunks = 4, .cells = 2, .threads = 4, .processes = 2, .mappings_bytes = 64};
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

}  // namespace
}  // namespace sonde
