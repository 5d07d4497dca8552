// SPDX-License-Identifier: Apache-2.0
// Walks real stacks and compares them with what is known about them and with libunwind. The main
// test single-steps through the workload, so that every instruction of it, of the procedure linkage
// table and of the parts of libc that it uses is once the place of a sample.
#define UNW_LOCAL_ONLY
#include <gtest/gtest.h>
#include <libunwind.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <algorithm>

#include "walk_testing.h"
#include "workload.h"

namespace sonde {
namespace {

#define NOINLINE __attribute__((noinline, noclone))

constexpr uint32_t kMaxFrames = kMaxTestFrames;
using Stack = TestStack;

void Walk(const Registers& registers, Stack* out) { WalkInTest(registers, out); }

uint32_t WalkByLibunwind(void* context, uint64_t* frames) {
  unw_cursor_t cursor;
  uint32_t depth = 0;
  unw_init_local2(&cursor, static_cast<unw_context_t*>(context), UNW_INIT_SIGNAL_FRAME);
  do {
    unw_word_t pc = 0;
    unw_get_reg(&cursor, UNW_REG_IP, &pc);
    if (pc == 0) break;
    frames[depth++] = pc;
  } while (depth < kMaxFrames && unw_step(&cursor) > 0);
  return depth;
}

// What the outer frames are while the workload runs: the callers of the function under test.
Stack g_outer;

bool EndsInOuterFrames(const uint64_t* frames, uint32_t depth) {
  const uint32_t outer = g_outer.result.depth - 1;  // all but the frame of the test itself
  return depth > outer && std::equal(frames + depth - outer, frames + depth, g_outer.frames + 1);
}

struct StepCounts {
  uint64_t steps = 0;
  uint64_t wrong = 0;            // ours did not reach the outer frames, and libunwind did
  uint64_t libunwind_wrong = 0;  // libunwind did not, and ours did
  uint64_t neither = 0;
  uint64_t differ = 0;  // both did, by different ways
  uint64_t first_wrong_pc = 0;
  uint64_t first_differing_pc = 0;
};
StepCounts g_counts;

// libunwind sometimes takes a word of the stack for code.
bool HasPcOnStack(const uint64_t* frames, uint32_t depth, uint64_t sp) {
  return std::any_of(frames, frames + depth, [&](uint64_t pc) { return pc - sp < (1 << 20); });
}

// There libunwind goes by the frame pointer and loses a caller.
bool InAssembly(uint64_t pc) {
  return pc >= reinterpret_cast<uint64_t>(AsmLeaf) && pc < reinterpret_cast<uint64_t>(AsmEnd);
}

void OnStep(int, siginfo_t*, void* context) {
  Stack ours;
  uint64_t theirs[kMaxFrames];
  const Registers registers = RegistersOfContext(context);
  Walk(registers, &ours);
  const uint32_t depth = WalkByLibunwind(context, theirs);
  ++g_counts.steps;
  const bool right =
      EndsInOuterFrames(ours.frames, ours.result.depth) && ours.result.end == StackEnd::kRoot;
  const bool libunwind_right =
      EndsInOuterFrames(theirs, depth) && !HasPcOnStack(theirs, depth, registers.gpr[kRsp]);
  const bool same = depth == ours.result.depth && std::equal(theirs, theirs + depth, ours.frames);
  if (!right && libunwind_right && g_counts.wrong++ == 0)
    g_counts.first_wrong_pc = registers.gpr[kRip];
  if (right && !libunwind_right) ++g_counts.libunwind_wrong;
  if (!right && !libunwind_right) ++g_counts.neither;
  if (right && libunwind_right && !same && !InAssembly(registers.gpr[kRip]) &&
      g_counts.differ++ == 0) {
    g_counts.first_differing_pc = registers.gpr[kRip];
  }
}

volatile int g_leaf_calls;
void Leaf() { g_leaf_calls = g_leaf_calls + 1; }

NOINLINE void RunWorkload() {
  workload::Plain(4, Leaf);
  workload::Alloca(200, Leaf);
  workload::Alloca(6000, Leaf);
  workload::Aligned(Leaf);
  workload::AlignedWithStackArguments(Leaf, 2, 3, 4, 5, 6, 7, 8);
  workload::TailCall(Leaf);
  workload::EndsInNoReturn(Leaf);
  workload::ThroughLibc(Leaf);
  workload::ThroughPlt();
  workload::Exceptions();
  workload::Arithmetic();
  AsmWithFramePointer(Leaf);
}

// -mno-red-zone matters: the stepping switch pushes.
NOINLINE void StepThroughWorkload() {
  Registers registers;
  CaptureRegisters(&registers);
  Walk(registers, &g_outer);
  StartStepping();
  RunWorkload();
  StopStepping();
}

TEST(WalkChain, EveryInstructionOfTheWorkloadIsWalkedToTheRoot) {
  TestTables();
  const ScopedHandler handler(SIGTRAP, OnStep, 0);
  g_counts = StepCounts();
  StepThroughWorkload();
  printf("%lu steps: %lu wrong, libunwind %lu wrong, neither right %lu, %lu differ\n",
         g_counts.steps, g_counts.wrong, g_counts.libunwind_wrong, g_counts.neither,
         g_counts.differ);
  EXPECT_EQ(g_outer.result.end, StackEnd::kRoot);
  EXPECT_GT(g_leaf_calls, 8);
  EXPECT_GT(g_counts.steps, 10000u);
  // Known: the last instructions of longjmp, which has the return address in a register.
  EXPECT_LE(g_counts.wrong, 4u) << "first at " << std::hex << g_counts.first_wrong_pc;
  EXPECT_LE(g_counts.differ, 10u) << "first at " << std::hex << g_counts.first_differing_pc;
  // Known: libgcc, while it moves to the frame that catches: the stack is neither the one nor the
  // other.
  EXPECT_LE(g_counts.neither, g_counts.steps / 400);
}

Stack g_inner;
Stack g_nested_outer;

void OnProf(int, siginfo_t*, void* context) { Walk(RegistersOfContext(context), &g_inner); }

NOINLINE void RaiseProf() { RaiseHere(SIGPROF); }

// The host's own handler, on its alternate stack, is interrupted by ours.
NOINLINE void OnUsr1(int, siginfo_t*, void*) {
  RaiseProf();
  asm volatile("");
}

NOINLINE void RaiseUsr1() {
  Registers registers;
  CaptureRegisters(&registers);
  Walk(registers, &g_nested_outer);
  RaiseHere(SIGUSR1);
}

TEST(WalkChain, AHandlerOnAnAlternateStackIsWalkedIntoTheInterruptedCode) {
  TestTables();
  static char alternate[8192];
  const stack_t stack = {alternate, 0, sizeof(alternate)};
  stack_t old;
  ASSERT_EQ(sigaltstack(&stack, &old), 0);
  {
    const ScopedHandler prof(SIGPROF, OnProf, 0);
    const ScopedHandler usr1(SIGUSR1, OnUsr1, SA_ONSTACK);
    RaiseUsr1();
  }
  sigaltstack(&old, nullptr);
  const uint32_t outer = g_nested_outer.result.depth - 1;
  ASSERT_EQ(g_inner.result.end, StackEnd::kRoot);
  ASSERT_GT(g_inner.result.depth, outer + 4);
  EXPECT_TRUE(std::equal(g_nested_outer.frames + 1, g_nested_outer.frames + outer + 1,
                         g_inner.frames + g_inner.result.depth - outer));
  EXPECT_TRUE(g_inner.HasFrameIn(reinterpret_cast<uint64_t>(OnUsr1), 64));
}

TEST(WalkChain, AThreadEndsAtItsStart) {
  TestTables();
  pthread_t thread;
  auto body = [](void*) -> void* {
    const ScopedHandler prof(SIGPROF, OnProf, 0);
    RaiseProf();
    asm volatile("");
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(g_inner.result.end, StackEnd::kRoot);
  EXPECT_GE(g_inner.result.depth, 5u);  // syscall, RaiseProf, body, start_thread, clone3
  EXPECT_FALSE(g_inner.result.unknown_pc);
}

TEST(WalkChain, ACallToNowhereShowsItsCaller) {
  TestTables();
  Registers registers;
  CaptureRegisters(&registers);
  Stack direct, lost;
  Walk(registers, &direct);
  // As if this function had just called address 16.
  alignas(16) static uint64_t stack[64];
  memset(stack, 0, sizeof(stack));
  stack[0] = direct.frames[1];
  registers.gpr[kRsp] = reinterpret_cast<uint64_t>(stack);
  registers.gpr[kRip] = 16;
  Walk(registers, &lost);
  EXPECT_TRUE(lost.result.unknown_pc);
  ASSERT_GE(lost.result.depth, 2u);
  EXPECT_EQ(lost.frames[1], direct.frames[1]);
}

TEST(WalkChain, TheDepthLimitIsKept) {
  TestTables();
  Registers registers;
  CaptureRegisters(&registers);
  uint64_t frames[4] = {1, 1, 1, 1};
  const WalkResult result = WalkStack(g_test_publication, registers, StackBounds(), frames, 3);
  EXPECT_EQ(result.depth, 3u);
  EXPECT_EQ(result.end, StackEnd::kDepthLimit);
  EXPECT_EQ(frames[3], 1u);
  EXPECT_EQ(WalkStack(g_test_publication, registers, StackBounds(), nullptr, 0).depth, 0u);
}

TEST(WalkChain, KnownBoundsEndTheWalk) {
  TestTables();
  Registers registers;
  CaptureRegisters(&registers);
  Stack whole, cut;
  Walk(registers, &whole);
  const uint64_t sp = registers.gpr[kRsp];
  cut.result = WalkStack(g_test_publication, registers, {0, sp + 8}, cut.frames, kMaxFrames);
  EXPECT_EQ(cut.result.depth, 1u);
  EXPECT_EQ(cut.result.end, StackEnd::kBadFrame);
  EXPECT_GT(whole.result.depth, cut.result.depth);
}

}  // namespace
}  // namespace sonde
