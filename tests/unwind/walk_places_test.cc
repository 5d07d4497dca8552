// SPDX-License-Identifier: Apache-2.0
// The places where walkers lose their way: fibers, other stacks, the kernel's code, linkage tables,
// assembly with odd unwind information and with none, first frames. walk_chain_test.cc has what
// compilers make.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <wchar.h>

#include <boost/context/fiber.hpp>
#include <utility>

#include "walk_testing.h"
#include "workload.h"

extern "C" void _start();

namespace sonde {
namespace {

#define NOINLINE __attribute__((noinline, noclone))

uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }
template <typename Function>
uint64_t AddressOf(Function* function) {
  return reinterpret_cast<uint64_t>(function);
}

TestStack g_seen;
TestStack g_outer;

void OnProf(int, siginfo_t*, void* context) { WalkInTest(RegistersOfContext(context), &g_seen); }

NOINLINE void Sample() {
  RaiseHere(SIGPROF);
  asm volatile("");
}

// Where the walks of this test have to end up: from the caller of this on.
NOINLINE void NoteOuter() {
  Registers registers;
  CaptureRegisters(&registers);
  WalkInTest(registers, &g_outer);
}

struct Steps {
  uint64_t all = 0;
  uint64_t wrong = 0;
  uint64_t marked = 0;  // those whose pc the test wants to see stepped through
  uint64_t first_wrong = 0;
};
Steps g_steps;
bool (*g_is_marked)(uint64_t pc);

uint64_t g_switch;  // StepThrough

void OnTrap(int, siginfo_t*, void* context) {
  const Registers registers = RegistersOfContext(context);
  TestStack stack;
  // The switch itself pushes behind the back of its function's unwind information.
  if (registers.gpr[kRip] - g_switch < 512) return;
  WalkInTest(registers, &stack);
  ++g_steps.all;
  g_steps.marked += g_is_marked(registers.gpr[kRip]) ? 1 : 0;
  // The caller of StepThrough returns to one address in the outer stack and to another here.
  TestStack callers = g_outer;
  --callers.result.depth;
  std::copy(g_outer.frames + 1, g_outer.frames + g_outer.result.depth, callers.frames);
  const bool right = stack.result.end == StackEnd::kRoot && stack.EndsInCallersOf(callers);
  if (!right && g_steps.wrong++ == 0) g_steps.first_wrong = registers.gpr[kRip];
}

NOINLINE Steps StepThrough(void (*function)(), bool (*is_marked)(uint64_t pc)) {
  TestTables();
  const ScopedHandler handler(SIGTRAP, OnTrap, 0);
  g_steps = Steps();
  g_is_marked = is_marked;
  g_switch = AddressOf(StepThrough);
  NoteOuter();
  StartStepping();
  function();
  StopStepping();
  return g_steps;
}

void Nothing() { asm volatile(""); }

TEST(WalkPlaces, EveryInstructionOfTheVdsoIsWalkedToTheRoot) {
  ASSERT_NE(getauxval(AT_SYSINFO_EHDR), 0u);
  const auto ask = [] {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
  };
  const Steps steps = StepThrough(ask, [](uint64_t pc) {
    constexpr uint64_t kSize = 8192;
    return pc - getauxval(AT_SYSINFO_EHDR) < kSize;
  });
  EXPECT_GT(steps.marked, 20u);
  EXPECT_EQ(steps.wrong, 0u) << std::hex << steps.first_wrong;
}

bool InLinkageTable(uint64_t pc) {
  const UnwindPublication::Reader reader(g_test_publication);
  const UnwindModule* module = reader.index()->Find(pc);
  return module != nullptr && module->rows != nullptr &&
         module->RuleAt(pc + 1).cfa == CfaKind::kPlt;
}

// Nothing else in this program calls these: the first call of each resolves its name, the second
// does not.
TEST(WalkPlaces, LazyBindingIsWalkedToTheRoot) {
  const auto call = [] {
    for (int i = 0; i < 2; ++i) {
      static volatile size_t sink = 0;
      sink = sink + wcsspn(L"aab", L"a") + wcscspn(L"aab", L"b");
    }
  };
  const Steps steps = StepThrough(call, InLinkageTable);
  EXPECT_GE(steps.marked, 4u);
  EXPECT_GT(steps.all, 1000u) << "the names were bound before";
  EXPECT_EQ(steps.wrong, 0u) << std::hex << steps.first_wrong;
}

bool InOddAssembly(uint64_t pc) {
  return pc - AddressOf(AsmOtherStack) < 64 || pc - AddressOf(AsmOddRegisters) < 64;
}

TEST(WalkPlaces, AssemblyWithUnusualUnwindInformationIsWalkedToTheRoot) {
  const auto call = [] {
    AsmOtherStack(Nothing);
    AsmOddRegisters(Nothing);
  };
  const Steps steps = StepThrough(call, InOddAssembly);
  EXPECT_GT(steps.marked, 16u);
  EXPECT_EQ(steps.wrong, 0u) << std::hex << steps.first_wrong;
}

// What lies between is lost, or the walk ends and says so; but no frame is invented.
TEST(WalkPlaces, AssemblyWithoutAnyIsLeftByFramePointersOrEndsTheWalk) {
  TestTables();
  const ScopedHandler prof(SIGPROF, OnProf, 0);
  NoteOuter();
  AsmPushes(Sample);
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(AsmPushes), 32));
  uint32_t at = 0;
  while (g_seen.frames[at] - AddressOf(AsmPushes) >= 32) ++at;
  if (g_seen.result.end != StackEnd::kRoot) {
    EXPECT_EQ(g_seen.result.end, StackEnd::kNoUnwindData);
    EXPECT_EQ(g_seen.result.depth, at + 1);
    return;
  }
  const uint32_t beyond = g_seen.result.depth - at - 1;
  ASSERT_LT(beyond, g_outer.result.depth);
  EXPECT_TRUE(std::equal(g_seen.frames + at + 1, g_seen.frames + g_seen.result.depth,
                         g_outer.frames + g_outer.result.depth - beyond));
}

TEST(WalkPlaces, TheMainThreadEndsInTheProgramsStart) {
  TestTables();
  NoteOuter();
  EXPECT_EQ(g_outer.result.end, StackEnd::kRoot);
  EXPECT_LT(g_outer.frames[g_outer.result.depth - 1] - AddressOf(_start), 64u);
  Registers registers{};
  registers.gpr[kRip] = AddressOf(_start);
  registers.gpr[kRsp] = Address(__builtin_frame_address(0));
  WalkInTest(registers, &g_seen);
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  EXPECT_EQ(g_seen.result.depth, 1u);
}

class OtherStack {
 public:
  static constexpr size_t kBytes = 256 << 10;
  // Between two pages that cannot be read.
  OtherStack()
      : memory_(static_cast<char*>(
            mmap(nullptr, kBytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    mprotect(low(), kBytes, PROT_READ | PROT_WRITE);
  }
  ~OtherStack() { munmap(memory_, kBytes + 2 * kPage); }
  OtherStack(const OtherStack&) = delete;
  OtherStack& operator=(const OtherStack&) = delete;
  char* low() { return memory_ + kPage; }
  char* high() { return low() + kBytes; }

 private:
  static constexpr size_t kPage = 4096;
  char* const memory_;
};

ucontext_t g_main_context, g_fiber_context;

NOINLINE void FiberBody() {
  Sample();
  asm volatile("");
}

TEST(WalkPlaces, AFiberOfMakecontextEndsAtItsEntry) {
  TestTables();
  OtherStack stack;
  getcontext(&g_fiber_context);
  g_fiber_context.uc_stack = {stack.low(), 0, OtherStack::kBytes};
  g_fiber_context.uc_link = &g_main_context;
  makecontext(&g_fiber_context, FiberBody, 0);
  const ScopedHandler prof(SIGPROF, OnProf, 0);
  swapcontext(&g_main_context, &g_fiber_context);
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  ASSERT_GE(g_seen.result.depth, 3u);
  // FiberBody's caller, and the last: libc's start of a context.
  const uint32_t last = g_seen.result.depth - 1;
  EXPECT_LT(g_seen.frames[last - 1] - AddressOf(FiberBody), 64u);
  Dl_info info;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(g_seen.frames[last] - 1), &info), 0);
  EXPECT_NE(strstr(info.dli_fname, "libc.so"), nullptr);
}

TEST(WalkPlaces, AFiberOfMakecontextThatLinksToNothingEndsThereToo) {
  TestTables();
  OtherStack stack;
  getcontext(&g_fiber_context);
  g_fiber_context.uc_stack = {stack.low(), 0, OtherStack::kBytes};
  g_fiber_context.uc_link = nullptr;
  makecontext(
      &g_fiber_context,
      [] {
        FiberBody();
        setcontext(&g_main_context);
      },
      0);
  const ScopedHandler prof(SIGPROF, OnProf, 0);
  swapcontext(&g_main_context, &g_fiber_context);
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(FiberBody), 64));
  EXPECT_LE(g_seen.result.depth, 5u);
}

TEST(WalkPlaces, AFiberOfBoostEndsAtItsEntry) {
  TestTables();
  const ScopedHandler prof(SIGPROF, OnProf, 0);
  boost::context::fiber fiber([](boost::context::fiber&& caller) {
    FiberBody();
    return std::move(caller);
  });
  fiber = std::move(fiber).resume();
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(FiberBody), 64));
  Dl_info info;
  ASSERT_NE(dladdr(reinterpret_cast<void*>(g_seen.frames[g_seen.result.depth - 1] - 1), &info), 0);
  ASSERT_NE(info.dli_sname, nullptr);
  EXPECT_STREQ(info.dli_sname, "make_fcontext");
}

NOINLINE int CloneBody(void*) {
  Registers registers;
  CaptureRegisters(&registers);
  WalkInTest(registers, &g_seen);
  return 0;
}

TEST(WalkPlaces, AStackThatCloneWasGivenEndsAtTheThreadsStart) {
  TestTables();
  OtherStack stack;
  const int child = clone(CloneBody, stack.high(), CLONE_VM | SIGCHLD, nullptr);
  ASSERT_GT(child, 0);
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  EXPECT_EQ(g_seen.result.depth, 2u);  // CloneBody, clone
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(CloneBody), 256));
}

TEST(WalkPlaces, AStackOfTheBareSystemCallEndsAtItsFirstFunction) {
  TestTables();
  OtherStack stack;
  const auto body = [] { CloneBody(nullptr); };
  const long child = AsmRawClone(CLONE_VM | SIGCHLD, stack.high(), body);
  ASSERT_GT(child, 0);
  int status;
  ASSERT_EQ(waitpid(static_cast<pid_t>(child), &status, 0), child);
  // The assembly has no unwind information, and its frame pointer is 0.
  EXPECT_EQ(g_seen.result.end, StackEnd::kNoUnwindData);
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(AsmRawClone), 64));
}

NOINLINE void OnUsr1(int, siginfo_t*, void*) {
  Sample();
  asm volatile("");
}

// The walk begins on the alternate stack; the bounds are those of the thread's own.
TEST(WalkPlaces, FromAnAlternateStackTheWalkCrossesToTheThreadsOwn) {
  TestTables();
  OtherStack alternate;
  auto body = [](void* stack) -> void* {
    const stack_t use = {static_cast<OtherStack*>(stack)->low(), 0, OtherStack::kBytes};
    sigaltstack(&use, nullptr);
    NoteOuter();
    RaiseHere(SIGUSR1);
    return nullptr;
  };
  const ScopedHandler prof(SIGPROF, OnProf, 0);
  const ScopedHandler usr1(SIGUSR1, OnUsr1, SA_ONSTACK);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, nullptr, body, &alternate), 0);
  pthread_join(thread, nullptr);
  EXPECT_EQ(g_seen.result.end, StackEnd::kRoot);
  EXPECT_TRUE(g_seen.HasFrameIn(AddressOf(OnUsr1), 64));
  EXPECT_GT(g_seen.result.depth, g_outer.result.depth + 3);
  EXPECT_EQ(g_seen.frames[g_seen.result.depth - 1], g_outer.frames[g_outer.result.depth - 1]);
}

}  // namespace
}  // namespace sonde
