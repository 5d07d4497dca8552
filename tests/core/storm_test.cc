// SPDX-License-Identifier: Apache-2.0
// Real threads and real processes record while the fold runs: recorded + dropped is what was
// offered, for every thread apart, and no stack is seen that nobody offered. Also under the thread
// sanitizer.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "collectors/fold.h"
#include "collectors/safe/scratch.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kRounds = 300'000;
// Small enough for full tables and constant reuse.
constexpr RegionCounts kCramped = {.stacks = 256,
                                   .chunks = 512,
                                   .cells = 256,
                                   .threads = 64,
                                   .processes = 16,
                                   .live = 64,
                                   .mappings_bytes = 64,
                                   .ring_bytes = 512,
                                   .open_step_bytes = 512};

// A stack that names its thread in every frame: a torn or misattributed one is seen.
void RecordRounds(const Region& region, ThreadId thread, uint32_t tid) {
  uint64_t frames[40];
  uint64_t state = tid * 0x9e3779b97f4a7c15;
  for (uint64_t i = 0; i < kRounds; ++i) {
    state = state * 6364136223846793005 + 1442695040888963407;
    const uint64_t which = (state >> 40) % 2000;
    const auto depth = static_cast<uint32_t>(1 + which % 40);
    for (uint32_t j = 0; j < depth; ++j) frames[j] = uint64_t{tid} << 32 | which;
    RecordStack(region, {frames, depth, static_cast<uint16_t>(which)}, thread, Kind::kCpu, 1,
                which);
  }
}

class StormSink : public FoldSink {
 public:
  void OnDelta(const FoldDelta& delta) override {
    const uint64_t which = delta.frames[0] & 0xffffffff;
    bool whole = delta.frames.size() == 1 + which % 40 && delta.flags == which;
    for (const uint64_t frame : delta.frames) whole &= frame == delta.frames[0];
    whole &= delta.frames[0] >> 32 == static_cast<uint64_t>(delta.thread.tid);
    whole &= delta.amount == delta.events * which;
    wrong += !whole;
    accounted += delta.events;
  }
  void OnLost(Kind, DropReason, uint64_t events, uint64_t) override { accounted += events; }
  void OnFoldEnd(uint64_t) override {}

  uint64_t wrong = 0;
  uint64_t accounted = 0;
};

struct Storm {
  RegionForTesting region{kCramped};
  Folder folder{*region, Folder::Start::kFromEmpty, {.idle_folds = 2, .grace_ns = kMillisecond}};
  StormSink sink;
  uint64_t now = kMillisecond;

  Storm() { folder.AddSink(&sink, now); }
  // The grace of a millisecond is real, so that a preempted writer may well miss it.
  template <typename Done>
  void FoldUntil(Done done) {
    while (!done()) {
      folder.Fold(now += kMillisecond);
      usleep(500);
    }
    folder.Fold(now += kMillisecond);
  }
};

TEST(Storm, OfThreadsIsAccountedForExactly) {
  Storm storm;
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (uint32_t tid = 1; tid <= 4; ++tid) {
    const ThreadId id = storm.region.Thread(static_cast<int32_t>(tid));
    threads.emplace_back([&storm, &running, id, tid] {
      RecordRounds(*storm.region, id, tid);
      running.fetch_sub(1);
    });
  }
  storm.FoldUntil([&] { return running.load() == 0; });
  for (std::thread& thread : threads) thread.join();
  storm.folder.Fold(storm.now += kMillisecond);
  EXPECT_EQ(storm.sink.wrong, 0u);
  EXPECT_EQ(storm.sink.accounted, 4 * kRounds);
  EXPECT_GT(DropCounterOf(*storm.region, Kind::kCpu, DropReason::kStackTableFull).events.Load(),
            0u);
}

TEST(Storm, OfProcessesIsAccountedForExactly) {
  Storm storm;
  std::vector<pid_t> children;
  for (uint32_t tid = 1; tid <= 4; ++tid) {
    const pid_t child = fork();
    if (child == 0) {
      const ProcessId self = ClaimProcess(*storm.region, getpid(), tid, storm.region.process(), 1);
      RecordRounds(*storm.region, ClaimThread(*storm.region, self, static_cast<int32_t>(tid), 1),
                   tid);
      _exit(0);
    }
    children.push_back(child);
  }
  size_t ended = 0;
  storm.FoldUntil([&] {
    for (pid_t& child : children) {
      if (child > 0 && waitpid(child, nullptr, WNOHANG) == child) child = 0, ++ended;
    }
    return ended == children.size();
  });
  EXPECT_EQ(storm.sink.wrong, 0u);
  EXPECT_EQ(storm.sink.accounted, 4 * kRounds);
}

// What siglongjmp out of a handler leaves: a claim without a claimer.
TEST(Scratch, TakesBackWhatNobodyWillGiveBack) {
  static ScratchPool pool;
  constexpr size_t kGone = ScratchPool::kBuffers * 2;
  auto claimers = std::make_unique<ScratchPool::Claimer[]>(kGone);
  for (size_t i = 0; i < kGone; ++i) {
    pool.Claim(&claimers[i]);
    claimers[i].value = 0;
  }
  EXPECT_GE(pool.taken_back(), kGone - ScratchPool::kBuffers);
  int got = 0;
  for (int i = 0; i < 1000; ++i) got += ScratchBuffer(&pool).frames() != nullptr;
  EXPECT_GE(got, 1000 - static_cast<int>(ScratchPool::kBuffers));
}

TEST(Scratch, TakesBackFromStacksThatAreUnmapped) {
  static ScratchPool pool;
  constexpr size_t kPage = 4096;
  void* const stack =
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(stack, MAP_FAILED);
  auto* const claimers = static_cast<ScratchPool::Claimer*>(stack);
  for (uint32_t i = 0; i < ScratchPool::kBuffers; ++i) ASSERT_NE(pool.Claim(&claimers[i]), nullptr);
  EXPECT_EQ(pool.taken_back(), 0u);
  munmap(stack, kPage);
  EXPECT_EQ(ScratchBuffer(&pool).frames(), nullptr) << "but one was found to be free by that";
  for (int i = 0; i < 100; ++i) EXPECT_NE(ScratchBuffer(&pool).frames(), nullptr);
}

TEST(Scratch, GivesEachBufferToOneAtATime) {
  static ScratchPool pool;
  std::vector<std::unique_ptr<ScratchBuffer>> claimed(ScratchPool::kBuffers);
  for (auto& buffer : claimed) buffer = std::make_unique<ScratchBuffer>(&pool);
  EXPECT_EQ(ScratchBuffer(&pool).frames(), nullptr);
  const uint64_t* const frames = claimed[13]->frames();
  claimed[13].reset();
  EXPECT_EQ(ScratchBuffer(&pool).frames(), frames);
  claimed.clear();
  EXPECT_EQ(pool.taken_back(), 0u) << "nobody was gone";
  std::atomic<uint64_t> shared{0};
  auto work = [&](uint64_t mark) {
    for (int i = 0; i < 20'000; ++i) {
      const ScratchBuffer buffer(&pool);
      buffer.frames()[0] = mark;
      buffer.frames()[kMaxDepth - 1] = mark;
      shared.fetch_add(buffer.frames()[0] != mark || buffer.frames()[kMaxDepth - 1] != mark);
    }
  };
  std::thread a(work, 1), b(work, 2), c(work, 3);
  a.join(), b.join(), c.join();
  EXPECT_EQ(shared.load(), 0u);
}

}  // namespace
}  // namespace sonde
