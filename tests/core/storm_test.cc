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

TEST(Scratch, GivesEachBufferToOneAtATime) {
  static ScratchPool pool;
  std::vector<uint64_t*> claimed;
  for (uint32_t i = 0; i < ScratchPool::kBuffers; ++i) claimed.push_back(pool.Claim());
  EXPECT_EQ(pool.Claim(), nullptr);
  pool.Release(claimed[13]);
  EXPECT_EQ(pool.Claim(), claimed[13]);
  pool.ResetAfterFork();
  EXPECT_EQ(pool.Claim(), claimed[0]);
  pool.ResetAfterFork();
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
