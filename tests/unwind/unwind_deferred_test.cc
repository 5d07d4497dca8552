// SPDX-License-Identifier: Apache-2.0
// Samples that came before their tables: that a walk over the copy of a stack says what a walk over
// the stack says, that every sample is finished once, also without room for tables, and that slots
// and their memory come back.
#include <gtest/gtest.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "collectors/safe/deferred_samples.h"
#include "collectors/stack_layout.h"
#include "tests/unwind/walk_testing.h"

namespace sonde {
namespace {

constexpr size_t kOnDemandBudget = 160 << 10;  // libc's table does not fit into half of it
constexpr uint64_t kSecond = 1'000'000'000;

class Finished : public FinishedSamples {
 public:
  struct Stack {
    std::vector<uint64_t> frames;
    StackEnd end;
    uint64_t thread, events, amount;
  };
  void OnFinished(const FinishedSample& finished) override {
    stacks.push_back({{finished.frames, finished.frames + finished.depth},
                      finished.end,
                      finished.sample->thread,
                      finished.sample->events,
                      finished.sample->amount});
  }
  std::vector<Stack> stacks;
};

struct MapPrivate {
  MapPrivate()
      : pool(static_cast<DeferredSamples*>(mmap(nullptr, sizeof(DeferredSamples),
                                                PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                                -1, 0))) {}
  ~MapPrivate() { munmap(pool, sizeof(DeferredSamples)); }
  DeferredSamples* const pool;
};

DeferredSamples* g_deferred;
bool g_put;
TestStack g_live;
uint64_t g_events;

int PutFromLibc(const void* a, const void* b) {
  Registers registers;
  CaptureRegisters(&registers);
  WalkInTest(registers, &g_live);
  ++g_events;
  g_put = g_deferred->Put(registers, 7, g_events, 100 * g_events, nullptr);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

// A sample that was taken below libc's code. Not qsort: a sanitizer has its own, which compares
// once more.
__attribute__((noinline)) void PutBelowLibc() {
  const int wanted = 1;
  const int numbers[] = {2};
  size_t count = 1;
  ASSERT_EQ(lfind(&wanted, numbers, &count, sizeof(numbers[0]), PutFromLibc), nullptr);
}

class UnwindDeferred : public testing::Test {
 protected:
  UnwindDeferred() {
    TestTables();
    RunThread([](void*) -> void* {
      SetStackLayout(FindStackLayout(ProcessMemory()));
      return nullptr;
    });
    g_deferred = mapped_.pool;
    g_events = 0;
  }
  static void RunThread(void* (*run)(void*)) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, nullptr, run, nullptr), 0);
    pthread_join(thread, nullptr);
  }
  bool IsOnDemand(const UnwindTables& tables) const {
    const UnwindStatus status = tables.Status();
    return std::any_of(status.modules.begin(), status.modules.end(), [](const auto& module) {
      return module.coverage == UnwindCoverage::kOnDemand &&
             module.name.find("libc.so") != std::string::npos;
    });
  }
  void ExpectLiveStack(const Finished::Stack& stack) const {
    ASSERT_EQ(stack.frames.size(), g_live.result.depth);
    // They were captured at the same place, and the callers are the same.
    EXPECT_TRUE(std::equal(stack.frames.begin(), stack.frames.end(), g_live.frames));
    EXPECT_EQ(stack.end, StackEnd::kRoot);
  }

  MapPrivate mapped_;
  UnwindPublication publication_;
  Finished finished_;
};

TEST_F(UnwindDeferred, AStackIsWholeThoughNoTableWasThere) {
  UnwindTables tables(publication_, kOnDemandBudget, nullptr, mapped_.pool);
  ASSERT_TRUE(tables.Refresh());
  ASSERT_TRUE(IsOnDemand(tables));
  EXPECT_FALSE(tables.FinishDeferred(kSecond, &finished_));
  PutBelowLibc();
  ASSERT_TRUE(g_put);
  EXPECT_TRUE(tables.FinishDeferred(kSecond, &finished_));
  ASSERT_EQ(finished_.stacks.size(), 1u);
  ExpectLiveStack(finished_.stacks[0]);
  EXPECT_EQ(finished_.stacks[0].thread, 7u);
  EXPECT_EQ(finished_.stacks[0].events, 1u);
  EXPECT_EQ(finished_.stacks[0].amount, 100u);
  EXPECT_GE(tables.Status().chunks_built, 2u);
  EXPECT_EQ(tables.Status().deferred, 1u);
  EXPECT_FALSE(tables.FinishDeferred(kSecond, &finished_)) << "finished twice";
  // What was built serves walks from now on.
  const UnwindPublication::Reader reader(publication_);
  const UnwindModule* const module = reader.index()->Find(g_live.frames[1] - 1);
  ASSERT_NE(module, nullptr);
  EXPECT_NE(module->rows, nullptr);
}

TEST_F(UnwindDeferred, AStackIsWholeThoughThereIsNoRoomForTables) {
  UnwindTables tables(publication_, 8 << 10, nullptr, mapped_.pool);
  ASSERT_TRUE(tables.Refresh());
  ASSERT_TRUE(IsOnDemand(tables));
  for (int i = 0; i < 3; ++i) PutBelowLibc();
  EXPECT_TRUE(tables.FinishDeferred(kSecond, &finished_));
  ASSERT_EQ(finished_.stacks.size(), 3u);
  for (const Finished::Stack& stack : finished_.stacks) EXPECT_EQ(stack.end, StackEnd::kRoot);
  ExpectLiveStack(finished_.stacks[2]);
  EXPECT_GT(tables.Status().chunks_refused, 0u);
  EXPECT_LE(tables.Status().bytes, size_t{8} << 10);
}

TEST_F(UnwindDeferred, WithoutTimeForTablesASampleWaits) {
  UnwindTables tables(publication_, kOnDemandBudget, nullptr, mapped_.pool);
  ASSERT_TRUE(tables.Refresh());
  PutBelowLibc();
  EXPECT_TRUE(tables.FinishDeferred(0, &finished_));
  EXPECT_TRUE(finished_.stacks.empty());
  EXPECT_TRUE(tables.FinishDeferred(kSecond, &finished_));
  EXPECT_EQ(finished_.stacks.size(), 1u);
}

TEST_F(UnwindDeferred, WhatFindsNoSlotIsRefusedAndSlotsComeBack) {
  UnwindTables tables(publication_, kOnDemandBudget, nullptr, mapped_.pool);
  ASSERT_TRUE(tables.Refresh());
  for (int round = 0; round < 3; ++round) {
    for (uint32_t i = 0; i < DeferredSamples::kSlots; ++i) {
      PutBelowLibc();
      ASSERT_TRUE(g_put);
    }
    PutBelowLibc();
    EXPECT_FALSE(g_put);
    EXPECT_TRUE(tables.FinishDeferred(kSecond, &finished_));
    EXPECT_EQ(finished_.stacks.size(), DeferredSamples::kSlots);
    finished_.stacks.clear();
  }
}

TEST_F(UnwindDeferred, IdleSlotsTakeNoMemory) {
  UnwindTables tables(publication_, kOnDemandBudget, nullptr, mapped_.pool);
  ASSERT_TRUE(tables.Refresh());
  PutBelowLibc();
  tables.FinishDeferred(kSecond, &finished_);
  const auto resident = [this] {
    auto* const begin = reinterpret_cast<uint8_t*>(mapped_.pool) + 4096;
    std::vector<unsigned char> pages((sizeof(DeferredSamples) - 4096) / 4096);
    EXPECT_EQ(mincore(begin, pages.size() * 4096, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1; });
  };
  EXPECT_GT(resident(), 0);
  tables.FinishDeferred(3 * kSecond, &finished_);
  EXPECT_GT(resident(), 0);
  tables.FinishDeferred(60 * kSecond, &finished_);
  EXPECT_EQ(resident(), 0);
  PutBelowLibc();
  EXPECT_TRUE(g_put);
}

TEST_F(UnwindDeferred, ManyWaitingSamplesAreSaidToBeInAHurry) {
  Registers registers;
  CaptureRegisters(&registers);
  bool hurry = true;
  ASSERT_TRUE(g_deferred->Put(registers, 1, 1, 1, &hurry));
  EXPECT_FALSE(hurry);
  for (uint32_t i = 1; i < DeferredSamples::kHurry; ++i) {
    ASSERT_TRUE(g_deferred->Put(registers, 1, 1, 1, &hurry));
  }
  EXPECT_TRUE(hurry);
}

// A child that builds tables itself begins with no samples, although it was forked with some.
TEST_F(UnwindDeferred, AChildForgetsItsParentsSamples) {
  for (uint32_t i = 0; i < DeferredSamples::kSlots; ++i) PutBelowLibc();
  const pid_t child = fork();
  if (child == 0) {
    g_deferred->Forget();
    const bool empty = !g_deferred->any();
    PutBelowLibc();
    _exit(empty && g_put ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  PutBelowLibc();
  EXPECT_FALSE(g_put) << "the child gave its parent's slots away";
}

// In every kind of frame that a timer meets, a walk over a copy ends as the walk over the stack.
volatile bool g_compare;
uint64_t g_compared, g_different;
DeferredSamples* g_pool;
CopiedStack g_copy;

void OnProf(int, siginfo_t*, void* context) {
  if (!g_compare) return;
  const Registers registers = RegistersOfContext(context);
  TestStack live, copied;
  WalkInTest(registers, &live);
  if (!g_pool->Put(registers, 1, 1, 1, nullptr)) return;
  g_pool->TakeAll([&](const DeferredSample& sample) {
    const UnwindPublication::Reader reader(g_test_publication);
    g_copy.low = sample.low;
    g_copy.high = sample.low + sample.stack_bytes;
    g_copy.bytes = sample.stack;
    copied.result =
        WalkCopiedStack(reader.index(), sample.registers, g_copy, copied.frames, kMaxTestFrames);
    return true;
  });
  ++g_compared;
  const bool same = live.result.depth == copied.result.depth &&
                    live.result.end == copied.result.end &&
                    std::equal(live.frames, live.frames + live.result.depth, copied.frames);
  g_different += same ? 0 : 1;
}

int Throwing(int depth) {
  if (depth == 0) throw depth;
  return Throwing(depth - 1) + 1;
}

void* WorkUnderATimer(void*) {
  std::vector<int> numbers(3000);
  for (int round = 0; g_compared < 150 && round < 100'000; ++round) {
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i * 7919 % 3001);
    qsort(numbers.data(), numbers.size(), sizeof(int), [](const void* a, const void* b) {
      return *static_cast<const int*>(a) - *static_cast<const int*>(b);
    });
    try {
      Throwing(20);
    } catch (int) {
    }
  }
  return nullptr;
}

TEST_F(UnwindDeferred, ACopySaysWhatTheStackSays) {
  const ProcessMemory memory;
  g_copy = {};
  g_copy.build = [](void*, uint64_t) -> const UnwindModule* { return nullptr; };
  g_copy.read_code = [](void* context, uint64_t address, void* out, size_t size) {
    return static_cast<const ProcessMemory*>(context)->Read(address, out, size);
  };
  g_copy.context = const_cast<ProcessMemory*>(&memory);
  g_pool = mapped_.pool;
  const ScopedHandler handler(SIGPROF, OnProf, SA_RESTART);
  g_compared = g_different = 0;
  g_compare = true;
  const itimerval often{{0, 1000}, {0, 1000}}, never{};
  setitimer(ITIMER_PROF, &often, nullptr);
  WorkUnderATimer(nullptr);
  const uint64_t of_main = g_compared;
  g_compared = 0;
  // Inherited blocked, and unblocked again: only the new thread takes the signals.
  sigset_t prof;
  sigemptyset(&prof);
  sigaddset(&prof, SIGPROF);
  pthread_sigmask(SIG_BLOCK, &prof, nullptr);
  RunThread([](void* argument) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    return WorkUnderATimer(argument);
  });
  pthread_sigmask(SIG_UNBLOCK, &prof, nullptr);
  setitimer(ITIMER_PROF, &never, nullptr);
  g_compare = false;
  EXPECT_GE(of_main, 50u);
  EXPECT_GE(g_compared, 50u);
  EXPECT_EQ(g_different, 0u);
}

}  // namespace
}  // namespace sonde
