// SPDX-License-Identifier: Apache-2.0
// Forked children: they walk with the tables of the process that builds, get what they miss from
// it, and an index of their own when they load objects that it has not.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

constexpr size_t kSmallBudget = 160 << 10;

// What both sides see: the share, and a word to agree on whose turn it is.
struct Stage {
  UnwindShare share;
  std::atomic<int> turn;
  std::atomic<uint64_t> value;
};

Stage* NewStage() {
  void* const at =
      mmap(nullptr, sizeof(Stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : static_cast<Stage*>(at);
}

class UnwindChildren : public testing::Test {
 protected:
  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    munmap(stage_, sizeof(Stage));
  }

  // Runs `body` in a child that has taken place `slot`.
  void Fork(uint32_t slot, const std::function<int(UnwindPublication&)>& body) {
    child_ = fork();
    if (child_ == 0) {
      alarm(20);
      _exit(body(stage_->share.Join(slot, getpid())));
    }
  }

  static bool Await(std::atomic<int>& turn, int wanted) {
    for (int i = 0; i < 20'000 && turn != wanted; ++i) usleep(500);
    return turn == wanted;
  }

  int Wait() {
    int status = -1;
    waitpid(child_, &status, 0);
    child_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  Stage* const stage_ = NewStage();
  pid_t child_ = 0;
};

UnwindPublication* g_publication;
WalkResult g_walk;

void WalkHere() {
  Registers registers;
  uint64_t frames[256];
  CaptureRegisters(&registers);
  g_walk = WalkStack(*g_publication, registers, StackBounds(), frames, 256);
}

int CompareAndWalk(const void* a, const void* b) {
  WalkHere();
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

__attribute__((noinline)) WalkResult WalkThroughLibc(UnwindPublication& publication) {
  int numbers[] = {2, 1};
  g_publication = &publication;
  qsort(numbers, 2, sizeof(numbers[0]), CompareAndWalk);
  return g_walk;
}

bool Covers(UnwindPublication& publication, const void* function) {
  const UnwindPublication::Reader reader(publication);
  const UnwindModule* module = reader.index()->Find(reinterpret_cast<uintptr_t>(function));
  return module != nullptr && module->rows != nullptr;
}

TEST_F(UnwindChildren, AChildWalksWithTheTablesOfTheRoot) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  Fork(0, [](UnwindPublication& mine) {
    return WalkThroughLibc(mine).end == StackEnd::kRoot ? 0 : 1;
  });
  EXPECT_EQ(Wait(), 0);
}

TEST_F(UnwindChildren, WhatAChildMissesIsBuiltByTheRootWhileTheChildLives) {
  UnwindTables tables(stage_->share.root, kSmallBudget, &stage_->share);
  tables.Refresh();
  Fork(3, [this](UnwindPublication& mine) {
    if (!WalkThroughLibc(mine).not_built) return 1;
    for (int i = 0; i < 4000; ++i) {
      if (WalkThroughLibc(mine).end == StackEnd::kRoot && !g_walk.not_built) return 0;
      usleep(1000);
    }
    return 2;
  });
  siginfo_t info = {};
  for (int i = 0;
       waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
       info.si_pid == 0;
       ++i) {
    tables.BuildMissed();
    // With so little room, chunks that were guessed wrongly have to grow old before others fit.
    if (i % 20 == 0) tables.Refresh();
    usleep(1000);
  }
  EXPECT_EQ(Wait(), 0);
  EXPECT_GT(tables.Status().chunks_built, 0u);
}

TEST_F(UnwindChildren, AnObjectThatOnlyTheChildLoadsIsCoveredThere) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  Fork(1, [this](UnwindPublication& mine) {
    void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
    if (plugin == nullptr) return 1;
    const void* const function = dlsym(plugin, "PluginAnswer");
    if (Covers(mine, function)) return 2;
    stage_->value = reinterpret_cast<uint64_t>(function);
    mine.NoteUnknownPc();
    stage_->turn = 1;
    if (!Await(stage_->turn, 2)) return 3;
    if (!Covers(mine, function)) return 4;
    if (WalkThroughLibc(mine).end != StackEnd::kRoot) return 5;
    dlclose(plugin);
    stage_->turn = 3;
    return Await(stage_->turn, 4) && !Covers(mine, function) ? 0 : 6;
  });
  ASSERT_TRUE(Await(stage_->turn, 1));
  EXPECT_TRUE(tables.Refresh());
  EXPECT_EQ(tables.Status().children_with_own, 1u);
  EXPECT_FALSE(Covers(stage_->share.root, reinterpret_cast<void*>(stage_->value.load())));
  stage_->turn = 2;
  ASSERT_TRUE(Await(stage_->turn, 3));
  tables.Refresh();
  EXPECT_EQ(tables.Status().children_with_own, 0u);
  stage_->turn = 4;
  EXPECT_EQ(Wait(), 0);
}

TEST_F(UnwindChildren, WithTheSameObjectsAChildNeedsNoIndexOfItsOwn) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  Fork(0, [this](UnwindPublication& mine) {
    mine.NoteUnknownPc();
    stage_->turn = 1;
    return Await(stage_->turn, 2) ? 0 : 1;
  });
  ASSERT_TRUE(Await(stage_->turn, 1));
  tables.Refresh();
  EXPECT_EQ(tables.Status().children, 1u);
  EXPECT_EQ(tables.Status().children_with_own, 0u);
  stage_->turn = 2;
  EXPECT_EQ(Wait(), 0);
}

// The root loads an object where the child has none: the child is not to walk by its rules.
TEST_F(UnwindChildren, AnObjectThatOnlyTheRootLoadsIsTakenFromTheChildsIndex) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  Fork(0, [this](UnwindPublication& mine) {
    stage_->turn = 1;
    if (!Await(stage_->turn, 2)) return 1;
    return Covers(mine, reinterpret_cast<void*>(stage_->value.load())) ? 2 : 0;
  });
  ASSERT_TRUE(Await(stage_->turn, 1));
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  stage_->value = reinterpret_cast<uint64_t>(dlsym(plugin, "PluginAnswer"));
  tables.Refresh();
  EXPECT_EQ(tables.Status().children_with_own, 1u);
  stage_->turn = 2;
  EXPECT_EQ(Wait(), 0);
  dlclose(plugin);
}

TEST_F(UnwindChildren, AChildThatIsKilledInAWalkKeepsNothingFromBeingFreed) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  Fork(0, [this](UnwindPublication& mine) {
    const UnwindPublication::Reader reader(mine);
    stage_->turn = 1;
    for (;;) pause();
    return 0;
  });
  ASSERT_TRUE(Await(stage_->turn, 1));
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  for (int i = 0; i < 5; ++i) tables.Refresh();
  EXPECT_GT(tables.Status().retired_bytes, 0u) << "the child may be reading the old index";
  kill(child_, SIGKILL);
  Wait();
  for (int i = 0; i < 4; ++i) tables.Refresh();
  EXPECT_EQ(tables.Status().retired_bytes, 0u);
  EXPECT_EQ(tables.Status().children, 0u);
  dlclose(plugin);
}

TEST_F(UnwindChildren, AChildThatBecameAnotherProgramIsForgotten) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Fork(0, [](UnwindPublication& mine) {
    const UnwindPublication::Reader reader(mine);
    execl("/bin/sleep", "sleep", "20", nullptr);
    return 1;
  });
  close(ends[1]);
  char byte;
  ASSERT_EQ(read(ends[0], &byte, 1), 0);  // closed by its exec
  close(ends[0]);
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  for (int i = 0; i < 6; ++i) tables.Refresh();
  EXPECT_EQ(tables.Status().retired_bytes, 0u);
  EXPECT_EQ(tables.Status().children, 0u);
  dlclose(plugin);
}

TEST_F(UnwindChildren, APlaceThatIsTakenAgainStartsWithTheRootsIndex) {
  UnwindTables tables(stage_->share.root, kDefaultUnwindBudgetBytes, &stage_->share);
  tables.Refresh();
  for (int round = 0; round < 20; ++round) {
    Fork(5, [](UnwindPublication& mine) {
      return WalkThroughLibc(mine).end == StackEnd::kRoot ? 0 : 1;
    });
    tables.Refresh();
    EXPECT_EQ(Wait(), 0);
  }
}

}  // namespace
}  // namespace sonde
