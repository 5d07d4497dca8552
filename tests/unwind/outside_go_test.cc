// SPDX-License-Identifier: Apache-2.0
// Stacks of waiting threads of Go, read from outside and written word by word here: what is known
// of them, and that nothing else is claimed. tests/services has a real program.
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <initializer_list>
#include <vector>

#include "collectors/stack_from_outside.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kWord = 8;
constexpr uint64_t kApart = uint64_t{1} << 20;
constexpr uint32_t kMaxFrames = 64;

// A page of Go's code; a page of C's, whose functions at 0x100 and 0x200 need rbp and whose
// function at 0x300 is a thread's first; the thread's stack; a goroutine's.
class OutsideGo : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = mmap(nullptr, 4 * kApart, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
    go_ = reinterpret_cast<uint64_t>(memory_);
    c_ = go_ + kApart;
    thread_ = go_ + 2 * kApart;
    goroutine_ = go_ + 3 * kApart;
    modules_[0].low = go_;
    modules_[0].high = go_ + kPage;
    modules_[0].is_go = true;
    modules_[1].low = c_;
    modules_[1].high = c_ + kPage;
    MakeTableOfC();
    lows_[0] = go_;
    lows_[1] = c_;
    goexit_ = Put(go_ + 0x100, {0x90});
    Put(go_ + 0x101, {0xe8, 0, 0, 0, 0, 0x90, 0xcc});
    mcall_ = Put(go_ + 0x200, {0x41, 0xff, 0xd4});  // call *%r12
    Put(go_ + 0x203, {0x58, 0xe9});                 // pop %rax; jmp
    asmcgocall_ = Put(go_ + 0x300, {0xff, 0xd0});   // call *%rax
    caller_ = Put(go_ + 0x400, {0xe8, 1, 2, 3, 4});
    old_ = Put(go_ + 0x500, {0xe8, 1, 2, 3, 4});
    syscall_ = Put(go_ + 0x5fc, {0xcc, 0xcc, 0x0f, 0x05});
    start_ = Put(c_ + 0x340, {0xff, 0xd0});
  }
  void TearDown() override { munmap(memory_, 4 * kApart); }

  // One rule for each 256 bytes of it.
  void MakeTableOfC() {
    const auto row = [](CfaKind cfa, uint32_t rbp, uint32_t words) {
      return static_cast<UnwindRow>(static_cast<uint32_t>(cfa) << kRowCfaShift |
                                    rbp << kRowRbpShift | words);
    };
    const UnwindRow rules[] = {row(CfaKind::kNone, 0, 0), row(CfaKind::kRbp, 1, 2),
                               row(CfaKind::kRbp, 1, 2), row(CfaKind::kRoot, 0, 0)};
    rows_.push_back(row(CfaKind::kNone, 0, 0));
    for (uint32_t i = 0; i <= kPage >> kBucketShift; ++i) {
      buckets_.push_back(static_cast<uint32_t>(rows_.size()));
      rows_.push_back(rules[i < 4 ? i : 0]);
    }
    buckets_.push_back(static_cast<uint32_t>(rows_.size()));
    modules_[1].rows = rows_.data();
    modules_[1].bucket_zero =
        reinterpret_cast<uintptr_t>(buckets_.data()) - (c_ >> kBucketShift) * sizeof(uint32_t);
  }

  static uint64_t Put(uint64_t at, std::initializer_list<uint8_t> bytes) {
    memcpy(reinterpret_cast<void*>(at), bytes.begin(), bytes.size());
    return at + bytes.size();
  }
  // A call of `target` that returns to the address given back.
  static uint64_t PutCall(uint64_t at, uint64_t target) {
    const uint64_t after = Put(at, {0xe8, 0, 0, 0, 0});
    const auto distance = static_cast<int32_t>(static_cast<int64_t>(target - after));
    memcpy(reinterpret_cast<void*>(at + 1), &distance, sizeof(distance));
    return after;
  }
  static void Frame(uint64_t at, uint64_t saved, uint64_t return_address) {
    *reinterpret_cast<uint64_t*>(at) = saved;
    *reinterpret_cast<uint64_t*>(at + kWord) = return_address;
  }
  static void Word(uint64_t at, uint64_t value) { *reinterpret_cast<uint64_t*>(at) = value; }

  std::vector<uint64_t> Walk(uint64_t pc, uint64_t sp) {
    const UnwindIndex index{2, lows_, modules_};
    uint64_t frames[kMaxFrames];
    OutsideWalker walker(memory_file_, &starts_);
    walk_ = walker.Walk(&index, pc, sp, 0, frames, kMaxFrames);
    return {frames, frames + walk_.depth};
  }
  using Frames = std::vector<uint64_t>;

  ProcessMemory memory_file_;
  FunctionStarts starts_{memory_file_};
  void* memory_ = nullptr;
  uint64_t go_ = 0, c_ = 0, thread_ = 0, goroutine_ = 0;
  uint64_t goexit_ = 0, mcall_ = 0, asmcgocall_ = 0, caller_ = 0, old_ = 0, syscall_ = 0,
           start_ = 0;
  std::vector<UnwindRow> rows_;
  std::vector<uint32_t> buckets_;
  uintptr_t lows_[2] = {};
  UnwindModule modules_[2];
  OutsideWalk walk_;
};

TEST_F(OutsideGo, TheCallerOfASystemCallIsTheLastThatIsKnown) {
  Word(thread_ + 0x100, caller_);
  // What a search would find: a whole chain of older calls, and the start of the thread.
  Frame(thread_ + 0x140, thread_ + 0x180, old_);
  Frame(thread_ + 0x180, 0, goexit_);
  Frame(thread_ + 0x800, 0, start_);
  EXPECT_EQ(Walk(syscall_, thread_ + 0x100), (Frames{syscall_, caller_}));
  EXPECT_EQ(walk_.end, StackEnd::kNoUnwindData);
  EXPECT_EQ(walk_.inferred_from, kNothingInferred);
}

TEST_F(OutsideGo, AFunctionThatHasMadeAFrameDoesNotReturnToWhatLiesOnTop) {
  Word(thread_ + 0x100, old_);
  Put(go_ + 0x5e0, {0x48, 0x8d, 0x6c, 0x24, 0x10});  // lea 0x10(%rsp),%rbp
  Put(go_ + 0x5fc, {0x90, 0x90});                    // no end of a function between
  EXPECT_EQ(Walk(syscall_, thread_ + 0x100), (Frames{syscall_}));
  EXPECT_EQ(walk_.end, StackEnd::kNoUnwindData);
}

// C that waits on a thread's stack, called by Go on a goroutine's.
TEST_F(OutsideGo, AFramePointerThatCHasSavedLeadsToTheGoroutinesStart) {
  const uint64_t pc = c_ + 0x120, in_outer = PutCall(c_ + 0x220, c_ + 0x100);
  Frame(thread_ + 0x140, thread_ + 0x180, in_outer);
  Frame(thread_ + 0x180, goroutine_ + 0x200, asmcgocall_);
  Frame(goroutine_ + 0x200, goroutine_ + 0x300, caller_);
  Frame(goroutine_ + 0x300, 0, goexit_);
  Frame(thread_ + 0x800, 0, start_);
  EXPECT_EQ(Walk(pc, thread_ + 0x100), (Frames{pc, in_outer, asmcgocall_, caller_, goexit_}));
  EXPECT_EQ(walk_.end, StackEnd::kRoot);
  EXPECT_EQ(walk_.inferred_from, 1u);
}

TEST_F(OutsideGo, WhatLeadsIntoGoAndNoFartherIsNotLeftOut) {
  const uint64_t pc = c_ + 0x120, in_outer = PutCall(c_ + 0x220, c_ + 0x100);
  Frame(thread_ + 0x140, thread_ + 0x180, in_outer);
  Frame(thread_ + 0x180, 0x1234, asmcgocall_);  // rbp is no frame pointer
  Frame(thread_ + 0x800, 0, start_);
  EXPECT_EQ(Walk(pc, thread_ + 0x100), (Frames{pc}));
  EXPECT_EQ(walk_.end, StackEnd::kNoUnwindData);
}

TEST_F(OutsideGo, TheSchedulerIsNotCalledByTheGoroutineThatLeft) {
  const uint64_t pc = c_ + 0x120, in_outer = PutCall(c_ + 0x220, c_ + 0x100);
  Frame(thread_ + 0x140, thread_ + 0x180, in_outer);
  Frame(thread_ + 0x180, goroutine_ + 0x200, mcall_);
  Frame(goroutine_ + 0x200, goroutine_ + 0x300, caller_);
  Frame(goroutine_ + 0x300, 0, goexit_);
  EXPECT_EQ(Walk(pc, thread_ + 0x100), (Frames{pc, in_outer, mcall_}));
  EXPECT_EQ(walk_.end, StackEnd::kRoot);
}

TEST_F(OutsideGo, ChainsThatLeadNowhereOrInCirclesEnd) {
  const uint64_t pc = c_ + 0x120, in_outer = PutCall(c_ + 0x220, c_ + 0x100);
  Frame(thread_ + 0x140, thread_ + 0x180, in_outer);
  for (const uint64_t rbp : {uint64_t{8}, uint64_t{1} << 46, ~uint64_t{0} - 7, goroutine_ + 1}) {
    Frame(thread_ + 0x180, rbp, asmcgocall_);
    EXPECT_EQ(Walk(pc, thread_ + 0x100), (Frames{pc})) << std::hex << rbp;
    EXPECT_NE(walk_.end, StackEnd::kRoot);
  }
  Frame(thread_ + 0x180, goroutine_ + 0x200, asmcgocall_);
  Frame(goroutine_ + 0x200, goroutine_ + 0x200, caller_);
  EXPECT_LE(Walk(pc, thread_ + 0x100).size(), kMaxFrames);
  EXPECT_NE(walk_.end, StackEnd::kRoot);
}

// The same stack in code that is not Go's: there the search is what it was.
TEST_F(OutsideGo, OtherCodeIsLeftByASearch) {
  const uint64_t pc = c_ + 0x120;
  Frame(thread_ + 0x140, 0, start_);
  EXPECT_EQ(Walk(pc, thread_ + 0x100), (Frames{pc, start_}));
  EXPECT_EQ(walk_.end, StackEnd::kRoot);
}

}  // namespace
}  // namespace sonde
