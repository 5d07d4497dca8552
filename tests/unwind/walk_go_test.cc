// SPDX-License-Identifier: Apache-2.0
// Go's stacks as its runtime lays them out, written word by word: a goroutine's, a thread's, and
// the frame pointers that lead from one to the other. tests/services has a real program.
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <initializer_list>
#include <vector>

#include "walk_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kWord = 8;
constexpr uint64_t kApart = uint64_t{1} << 20;  // from stack to stack

// Code, then the lower stack, then the higher one.
class WalkGo : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = mmap(nullptr, 3 * kApart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
    code_ = reinterpret_cast<uint64_t>(memory_);
    goroutine_ = code_ + kApart;
    thread_ = code_ + 2 * kApart;
    module_.low = code_;
    module_.high = code_ + kPage;
    module_.is_go = true;
    index_ = {1, &module_.low, &module_};
    goexit_ = Put(0x100, {0x90});
    Put(0x101, {0xe8, 0, 0, 0, 0, 0x90, 0xcc});
    mcall_ = Put(0x200, {0x41, 0xff, 0xd4});  // call *%r12
    Put(0x203, {0x58, 0xe9});                 // pop %rax; jmp
    systemstack_ = Put(0x300, {0xff, 0xd7});  // call *%rdi
    caller_ = Put(0x400, {0xe8, 1, 2, 3, 4});
    outer_ = Put(0x500, {0xe8, 1, 2, 3, 4});
  }
  void TearDown() override { munmap(memory_, 3 * kApart); }

  uint64_t Put(uint64_t offset, std::initializer_list<uint8_t> bytes) const {
    memcpy(reinterpret_cast<void*>(code_ + offset), bytes.begin(), bytes.size());
    return code_ + offset + bytes.size();
  }
  static void Frame(uint64_t at, uint64_t saved, uint64_t return_address) {
    *reinterpret_cast<uint64_t*>(at) = saved;
    *reinterpret_cast<uint64_t*>(at + kWord) = return_address;
  }
  // outer ← its goroutine's start, at the top of the goroutine's stack.
  uint64_t GoroutinesFrames() const {
    Frame(goroutine_ + 0x200, goroutine_ + 0x300, caller_);
    Frame(goroutine_ + 0x300, 0, goexit_);
    return goroutine_ + 0x200;
  }
  std::vector<uint64_t> Walk(uint64_t pc, uint64_t sp, uint64_t rbp) {
    Registers registers{};
    registers.gpr[kRip] = pc;
    registers.gpr[kRsp] = sp;
    registers.gpr[kRbp] = rbp;
    uint64_t frames[kMaxTestFrames];
    result_ = WalkStack(&index_, registers, {}, frames, kMaxTestFrames);
    return {frames, frames + result_.depth};
  }
  using Frames = std::vector<uint64_t>;

  void* memory_ = nullptr;
  uint64_t code_ = 0, goroutine_ = 0, thread_ = 0;
  uint64_t goexit_ = 0, mcall_ = 0, systemstack_ = 0, caller_ = 0, outer_ = 0;
  UnwindModule module_;
  UnwindIndex index_;
  WalkResult result_;
};

TEST_F(WalkGo, AGoroutineEndsWhereItStarted) {
  const uint64_t pc = code_ + 0x800, frame = GoroutinesFrames();
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, frame), (Frames{pc, caller_, goexit_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
}

TEST_F(WalkGo, WhatTheRuntimeDoesForAGoroutineOnTheThreadsStackIsTheGoroutines) {
  const uint64_t pc = code_ + 0x800;
  Frame(thread_ + 0x40, GoroutinesFrames(), systemstack_);
  EXPECT_EQ(Walk(pc, thread_, thread_ + 0x40), (Frames{pc, systemstack_, caller_, goexit_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
}

TEST_F(WalkGo, AGoroutineThatCCalledLeadsBackToTheThreadsStack) {
  const uint64_t pc = code_ + 0x800;
  Frame(goroutine_ + 0x200, thread_ + 0x80, caller_);
  Frame(thread_ + 0x80, 0, outer_);
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, goroutine_ + 0x200), (Frames{pc, caller_, outer_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
}

TEST_F(WalkGo, TheSchedulerIsNotCalledByTheGoroutineThatLeft) {
  const uint64_t pc = code_ + 0x800;
  Frame(thread_ + 0x40, GoroutinesFrames(), mcall_);
  EXPECT_EQ(Walk(pc, thread_, thread_ + 0x40), (Frames{pc, mcall_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
}

TEST_F(WalkGo, APreemptedGoroutineIsSeenWhereItWasInterrupted) {
  const uint64_t preemption = code_ + 0x600, interrupted = code_ + 0x700;
  Put(0x600, {0x55, 0x48, 0x89, 0xe5, 0x9c});
  *reinterpret_cast<uint64_t*>(goroutine_ + 0x100) = interrupted;
  EXPECT_EQ(Walk(preemption, goroutine_ + 0x100, GoroutinesFrames()),
            (Frames{preemption, interrupted + 1, caller_, goexit_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
}

TEST_F(WalkGo, AFunctionThatMadeItsFrameByLeaIsLeftByIt) {
  const uint64_t pc = code_ + 0x880;
  *reinterpret_cast<uint64_t*>(goroutine_ + 0x100) = outer_;  // of an older call
  const uint64_t frame = GoroutinesFrames();
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, frame), (Frames{pc, outer_, caller_, goexit_}));
  Put(0x840, {0x48, 0x8d, 0x6c, 0x24, 0x30});  // lea 0x30(%rsp),%rbp
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, frame), (Frames{pc, caller_, goexit_}));
  Put(0x840, {0x48, 0x8d, 0xac, 0x24, 0x30});
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, frame), (Frames{pc, caller_, goexit_}));
}

TEST_F(WalkGo, FramePointersThatLeadNowhereEndTheWalk) {
  const uint64_t pc = code_ + 0x800;
  for (const uint64_t frame : {uint64_t{1}, uint64_t{0x1234}, goroutine_ + 1, uint64_t{1} << 46,
                               ~uint64_t{0} - 7, thread_ + 0x100}) {
    EXPECT_EQ(Walk(pc, goroutine_ + 0x100, frame), (Frames{pc})) << std::hex << frame;
    EXPECT_NE(result_.end, StackEnd::kRoot);
  }
  // In circles from stack to stack.
  Frame(goroutine_ + 0x200, thread_ + 0x80, caller_);
  Frame(thread_ + 0x80, goroutine_ + 0x200, outer_);
  EXPECT_EQ(Walk(pc, goroutine_ + 0x100, goroutine_ + 0x200).size(), kMaxTestFrames);
  EXPECT_EQ(result_.end, StackEnd::kDepthLimit);
}

TEST_F(WalkGo, OtherCodeDoesNotChangeStacks) {
  module_.is_go = false;
  const uint64_t pc = code_ + 0x800;
  Frame(thread_ + 0x40, GoroutinesFrames(), systemstack_);
  EXPECT_EQ(Walk(pc, thread_, thread_ + 0x40), (Frames{pc, systemstack_}));
  EXPECT_EQ(result_.end, StackEnd::kNoUnwindData);
}

}  // namespace
}  // namespace sonde
