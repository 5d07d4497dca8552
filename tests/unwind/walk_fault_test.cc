// SPDX-License-Identifier: Apache-2.0
// The walker with registers, stacks and pcs that make no sense, on memory with holes: it must come
// back, with at most as many frames as there is room for. A fault ends the test program. And it
// must need little stack.
#include <gtest/gtest.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPages = 8;  // odd ones can be read, even ones not
constexpr int kRounds = 1'000'000;

UnwindPublication g_publication;

class Arena {
 public:
  Arena() {
    memory_ = static_cast<uint8_t*>(
        mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (uint64_t page = 0; page < kPages; page += 4) {
      munmap(memory_ + page * kPage, kPage);
      mprotect(memory_ + (page + 2) * kPage, kPage, PROT_NONE);
    }
  }
  ~Arena() { munmap(memory_, kPages * kPage); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  uint64_t low() const { return reinterpret_cast<uint64_t>(memory_); }
  uint64_t high() const { return low() + kPages * kPage; }
  uint64_t* readable(uint64_t i) {
    return reinterpret_cast<uint64_t*>(memory_ + (i % (kPages / 2) * 2 + 1) * kPage);
  }

 private:
  uint8_t* memory_;
};

class Chaos {
 public:
  explicit Chaos(const UnwindStatus& status) : status_(status) {}

  uint64_t Pc() {
    const auto& module = status_.modules[random_() % status_.modules.size()];
    return module.text_low + random_() % (module.text_high - module.text_low + 1);
  }

  uint64_t Value() {
    switch (random_() % 8) {
      case 0:
        return random_();
      case 1:
        return random_() % 4096;
      case 2:
        return ~uint64_t{0} - random_() % 4096;
      case 3:
      case 4:
        return arena.low() + random_() % (kPages * kPage);
      case 5:
        return (arena.low() + random_() % (kPages * kPage)) & ~uint64_t{7};
      default:
        return Pc();
    }
  }

  // The rows decide where the walk reads; pcs on the stack keep it going.
  void Shuffle() {
    for (uint64_t i = 0; i < kPages / 2; ++i) {
      std::generate_n(arena.readable(i), kPage / sizeof(uint64_t), [this] { return Value(); });
    }
  }

  Registers Draw() {
    Registers registers;
    for (uint64_t& value : registers.gpr) value = Value();
    if (random_() % 4 != 0) registers.gpr[kRip] = Pc();
    if (random_() % 4 != 0) {
      registers.gpr[kRsp] = reinterpret_cast<uint64_t>(arena.readable(random_())) +
                            (random_() % kPage & ~uint64_t{7});
    }
    return registers;
  }

  Arena arena;

 private:
  const UnwindStatus status_;
  std::mt19937_64 random_{20240607};
};

TEST(WalkFault, NonsenseNeverFaults) {
  constexpr uint32_t kMax = 64;
  UnwindTables tables(g_publication, kDefaultUnwindBudgetBytes);
  ASSERT_TRUE(tables.Refresh());
  Chaos chaos(tables.Status());
  uint64_t frames[kMax + 1];
  uint64_t deepest = 0, total = 0, ends[8] = {};
  for (int round = 0; round < kRounds; ++round) {
    if (round % 500 == 0) chaos.Shuffle();
    StackBounds bounds;
    if (round % 2 == 0) bounds = {chaos.arena.low(), chaos.arena.high()};
    if (round % 16 == 1) bounds = {0, ~uintptr_t{0}};
    frames[kMax] = 0x5a5a;
    const WalkResult result = WalkStack(g_publication, chaos.Draw(), bounds, frames, kMax);
    ASSERT_GE(result.depth, 1u);
    ASSERT_LE(result.depth, kMax);
    ASSERT_EQ(frames[kMax], 0x5a5au);
    deepest = std::max<uint64_t>(deepest, result.depth);
    total += result.depth;
    ++ends[static_cast<int>(result.end)];
  }
  printf("%d walks, %lu frames, deepest %lu\n", kRounds, total, deepest);
  // 1.56 frames a walk; with the code of a sanitizer among the pcs 1.49.
  EXPECT_GT(total, kRounds * uint64_t{5} / 4) << "the walks must get somewhere to prove anything";
  for (const StackEnd end : {StackEnd::kNoUnwindData, StackEnd::kBadFrame, StackEnd::kUnreadable}) {
    EXPECT_GT(ends[static_cast<int>(end)], 1000u) << static_cast<int>(end);
  }
}

TEST(WalkFault, WithoutTablesOnlyThePcIsKnown) {
  UnwindPublication empty;
  Registers registers;
  CaptureRegisters(&registers);
  uint64_t frames[8];
  const WalkResult result = WalkStack(empty, registers, StackBounds(), frames, 8);
  EXPECT_EQ(result.depth, 1u);
  EXPECT_EQ(frames[0], registers.gpr[kRip]);
  EXPECT_TRUE(result.unknown_pc);
  EXPECT_TRUE(empty.TakeUnknownPc());
  EXPECT_FALSE(empty.TakeUnknownPc());
}

// --- how much stack a walk needs ---

constexpr size_t kAlternateBytes = 64 << 10;
constexpr uint8_t kPaint = 0xc3;
alignas(16) uint8_t g_alternate[kAlternateBytes];
Registers g_registers;
uint64_t g_frames[256];
uint64_t g_below;  // the address below which only the walk writes
bool g_walk;
uint32_t g_depth;

__attribute__((noinline)) void WalkOnThisStack() {
  g_below = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  if (g_walk) g_depth = WalkStack(g_publication, g_registers, StackBounds(), g_frames, 256).depth;
  asm volatile("");
}

void OnUsr2(int, siginfo_t*, void*) { WalkOnThisStack(); }

// Bytes of stack used below WalkOnThisStack's frame.
size_t MeasureUse(bool walk) {
  memset(g_alternate, kPaint, sizeof(g_alternate));
  g_walk = walk;
  raise(SIGUSR2);
  const auto* end = reinterpret_cast<const uint8_t*>(g_below);
  const auto* first = std::find_if(g_alternate + 64, g_alternate + kAlternateBytes,
                                   [](uint8_t byte) { return byte != kPaint; });
  return first < end ? static_cast<size_t>(end - first) : 0;
}

TEST(WalkFault, AWalkNeedsAtMost512BytesOfStack) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
  GTEST_SKIP() << "only the optimised build keeps this promise";
#endif
  UnwindTables tables(g_publication, kDefaultUnwindBudgetBytes);
  ASSERT_TRUE(tables.Refresh());
  CaptureRegisters(&g_registers);
  const stack_t stack = {g_alternate, 0, sizeof(g_alternate)};
  stack_t old;
  struct sigaction action = {}, old_action;
  action.sa_sigaction = OnUsr2;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ASSERT_EQ(sigaltstack(&stack, &old), 0);
  ASSERT_EQ(sigaction(SIGUSR2, &action, &old_action), 0);
  size_t most = 0;
  Chaos chaos(tables.Status());
  for (int round = 0; round < 300; ++round) {
    most = std::max(most, MeasureUse(true));
    chaos.Shuffle();
    g_registers = chaos.Draw();
  }
  sigaction(SIGUSR2, &old_action, nullptr);
  sigaltstack(&old, nullptr);
  printf("a walk uses %zu bytes of stack\n", most);
  EXPECT_GT(most, 64u) << "nothing was measured";
  EXPECT_LE(most, 512u);
}

}  // namespace
}  // namespace sonde
