// SPDX-License-Identifier: Apache-2.0
// Stacks that are broken in one known way each: the walk ends there and says how. Random ones:
// walk_fault_test.cc.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "walk_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kWord = 8;

// Two pages of stack before one that is `beyond`.
class Stack {
 public:
  enum class Beyond { kUnmapped, kGuard };
  explicit Stack(Beyond beyond)
      : memory_(static_cast<char*>(
            mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    if (beyond == Beyond::kUnmapped) munmap(memory_ + 2 * kPage, kPage);
    if (beyond == Beyond::kGuard) mprotect(memory_ + 2 * kPage, kPage, PROT_NONE);
  }
  ~Stack() { munmap(memory_, 3 * kPage); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  uint64_t end() const { return reinterpret_cast<uint64_t>(memory_) + 2 * kPage; }
  uint64_t* at(uint64_t address) const { return reinterpret_cast<uint64_t*>(address); }
  void Fill(uint64_t value) const { std::fill(at(end() - 2 * kPage), at(end()), value); }

 private:
  char* const memory_;
};

// A pc of libc, or whatever comes first, whose rule is `wanted`; 0: there is none.
uint64_t PcWith(const UnwindRule& wanted) {
  TestTables();
  const UnwindPublication::Reader reader(g_test_publication);
  const UnwindIndex* index = reader.index();
  for (uint32_t i = 0; i < index->count; ++i) {
    const UnwindModule& module = index->modules[i];
    if (module.rows == nullptr) continue;
    for (uint64_t pc = module.low + 1; pc < module.high - 1; ++pc) {
      // The same before and after, so that it makes no difference whether it is a return address.
      if (module.RuleAt(pc + 1) == wanted && module.RuleAt(pc) == wanted) return pc;
    }
  }
  return 0;
}

UnwindRule RspPlus(int32_t offset) {
  UnwindRule rule;
  rule.cfa = CfaKind::kRsp;
  rule.offset = offset;
  return rule;
}

UnwindRule FramePointerRule() {
  UnwindRule rule;
  rule.cfa = CfaKind::kRbp;
  rule.reg = kRbp;
  rule.offset = 16;
  rule.rbp = RbpKind::kAtCfa;
  rule.rbp_offset = -16;
  return rule;
}

UnwindRule SignalRule() {
  UnwindRule rule;
  rule.cfa = CfaKind::kSignal;
  return rule;
}

class WalkCorrupt : public testing::Test {
 protected:
  void SetUp() override {
    pc_ = PcWith(RspPlus(16));
    ASSERT_NE(pc_, 0u);
    registers_.gpr[kRip] = pc_;
  }
  WalkResult WalkAt(uint64_t sp) {
    registers_.gpr[kRsp] = sp;
    WalkInTest(registers_, &seen_);
    return seen_.result;
  }

  uint64_t pc_ = 0;
  Registers registers_{};
  TestStack seen_;
};

TEST_F(WalkCorrupt, AStackThatRunsIntoNothingEndsAsUnreadable) {
  for (const auto beyond : {Stack::Beyond::kUnmapped, Stack::Beyond::kGuard}) {
    const Stack stack(beyond);
    stack.Fill(pc_);
    for (const uint64_t frames : {1u, 2u, 10u, 100u}) {
      // Each frame has two words, and the last return address lies beyond.
      const WalkResult result = WalkAt(stack.end() + kWord - frames * 2 * kWord);
      EXPECT_EQ(result.end, StackEnd::kUnreadable);
      EXPECT_EQ(result.depth, frames);
      EXPECT_FALSE(result.unknown_pc);
    }
  }
}

TEST_F(WalkCorrupt, AStackPointerToNothingEndsAsUnreadable) {
  const Stack stack(Stack::Beyond::kGuard);
  for (const uint64_t sp : {stack.end(), stack.end() + 64, uint64_t{0}, uint64_t{8},
                            uint64_t{1} << 46, ~uint64_t{0} & ~uint64_t{0xfff}}) {
    EXPECT_EQ(WalkAt(sp).end, StackEnd::kUnreadable) << std::hex << sp;
    EXPECT_EQ(seen_.result.depth, 1u);
  }
}

TEST_F(WalkCorrupt, AStackPointerBetweenWordsEndsAsABadFrame) {
  const Stack stack(Stack::Beyond::kGuard);
  stack.Fill(pc_);
  for (const uint64_t off : {1u, 4u, 7u}) {
    EXPECT_EQ(WalkAt(stack.end() - 256 + off).end, StackEnd::kBadFrame);
    EXPECT_EQ(seen_.result.depth, 1u);
  }
}

TEST_F(WalkCorrupt, AReturnAddressInDataEndsWithoutUnwindDataAndIsNoted) {
  const Stack stack(Stack::Beyond::kGuard);
  stack.Fill(pc_);
  static uint64_t data;
  const uint64_t sp = stack.end() - 512;
  *stack.at(sp + 3 * kWord) = reinterpret_cast<uint64_t>(&data);
  const WalkResult result = WalkAt(sp);
  EXPECT_EQ(result.end, StackEnd::kNoUnwindData);
  EXPECT_TRUE(result.unknown_pc);
  ASSERT_EQ(result.depth, 3u);
  EXPECT_EQ(seen_.frames[2], reinterpret_cast<uint64_t>(&data));
}

TEST_F(WalkCorrupt, AReturnAddressOfZeroIsTheRoot) {
  const Stack stack(Stack::Beyond::kGuard);
  stack.Fill(0);
  EXPECT_EQ(WalkAt(stack.end() - 512).end, StackEnd::kRoot);
  EXPECT_EQ(seen_.result.depth, 1u);
}

TEST_F(WalkCorrupt, AFramePointerThatPointsToItselfOrBackEndsAsABadFrame) {
  const uint64_t with_frame_pointer = PcWith(FramePointerRule());
  ASSERT_NE(with_frame_pointer, 0u);
  const Stack stack(Stack::Beyond::kGuard);
  stack.Fill(with_frame_pointer);
  const uint64_t frame = stack.end() - 512;
  for (const uint64_t saved : {frame, frame - 64}) {
    *stack.at(frame) = saved;
    registers_.gpr[kRip] = with_frame_pointer;
    registers_.gpr[kRbp] = frame;
    const WalkResult result = WalkAt(frame - 128);
    EXPECT_EQ(result.end, StackEnd::kBadFrame);
    EXPECT_EQ(result.depth, 2u);
  }
}

// A circle that is legal at each step: a signal frame that was interrupted at its own return.
TEST_F(WalkCorrupt, ASignalFrameThatLeadsToItselfEndsAtTheDepthLimit) {
  const uint64_t restorer = PcWith(SignalRule());
  ASSERT_NE(restorer, 0u);
  const Stack stack(Stack::Beyond::kGuard);
  stack.Fill(0);
  const uint64_t sp = stack.end() - kPage;
  auto* const context = reinterpret_cast<ucontext_t*>(sp);
  context->uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(restorer);
  context->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(sp);
  registers_.gpr[kRip] = restorer;
  const WalkResult result = WalkAt(sp);
  EXPECT_EQ(result.end, StackEnd::kDepthLimit);
  EXPECT_EQ(result.depth, kMaxTestFrames);
}

}  // namespace
}  // namespace sonde
