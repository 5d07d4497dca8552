// SPDX-License-Identifier: Apache-2.0
// What a thread knows of its own stack: right on stacks that the kernel and glibc made, "unknown"
// on all others, and never a fault.
#include "collectors/safe/own_stack.h"

#include <asm/prctl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>

#include "collectors/stack_layout.h"

namespace sonde {
namespace {

// Its runtime wants a larger stack than these tests give, and threads that it has made itself.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

struct Seen {
  StackBounds bounds;
  StackBounds for_walk;
  uint64_t sp = 0;
  uint64_t low = 0, high = 0;  // as libc says
};

__attribute__((noinline)) void Look(Seen* seen) {
  seen->sp = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  seen->bounds = OwnStack(seen->sp);
  seen->for_walk = BoundsForWalk(seen->sp);
}

void* LookInThread(void* argument) {
  auto* const seen = static_cast<Seen*>(argument);
  pthread_attr_t attributes;
  void* low;
  size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &low, &size);
  pthread_attr_destroy(&attributes);
  seen->low = reinterpret_cast<uint64_t>(low);
  seen->high = seen->low + size;
  Look(seen);
  return nullptr;
}

void* SetLayout(void*) {
  SetStackLayout(FindStackLayout(ProcessMemory()));
  return nullptr;
}

class OwnStackTest : public testing::Test {
 protected:
  // As in the agent: the layout is found by a thread of its own.
  OwnStackTest() { RunThread(nullptr, SetLayout, nullptr); }
  static void RunThread(const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, attributes, run, argument), 0);
    pthread_join(thread, nullptr);
  }
  static void ExpectKnown(const Seen& seen) {
    EXPECT_GE(seen.sp, seen.bounds.low);
    EXPECT_LT(seen.sp, seen.bounds.high);
    EXPECT_LE(seen.bounds.high, seen.high);
    EXPECT_GE(seen.bounds.high + (16 << 10), seen.high) << "less than what libc's frames lie in";
    EXPECT_FALSE(seen.bounds.readable);
    // Only as a hint: a fiber's stack may lie below the thread's.
    EXPECT_EQ(seen.for_walk.high, 0u);
    EXPECT_EQ(seen.for_walk.probable_end, seen.bounds.high);
  }
};

TEST_F(OwnStackTest, TheLayoutIsFound) {
  static StackLayout layout;
  RunThread(
      nullptr,
      [](void*) -> void* {
        layout = FindStackLayout(ProcessMemory());
        return nullptr;
      },
      nullptr);
  EXPECT_NE(layout.main_high, 0u);
  EXPECT_NE(layout.block_offset, 0u);
}

TEST_F(OwnStackTest, TheMainThreadsEndsWhereTheKernelPutItsArguments) {
  Seen seen;
  LookInThread(&seen);
  EXPECT_LT(seen.sp, seen.bounds.high);
  EXPECT_GE(seen.bounds.high, seen.high);
  EXPECT_EQ(seen.for_walk.high, seen.bounds.high);
  EXPECT_FALSE(seen.for_walk.readable);
  EXPECT_GT(seen.bounds.high, reinterpret_cast<uint64_t>(environ[0]));
  EXPECT_LT(seen.bounds.high, reinterpret_cast<uint64_t>(environ[0]) + (1 << 20));
}

TEST_F(OwnStackTest, APthreadsIsKnown) {
  Seen seen;
  RunThread(nullptr, LookInThread, &seen);
  ExpectKnown(seen);
  EXPECT_LE(seen.bounds.low, seen.low);
}

TEST_F(OwnStackTest, ASmallOneAndOneOfTheHostsOwnMemoryAreKnown) {
  if (kThreadSanitizer) GTEST_SKIP() << "the thread sanitizer ends such threads";
  pthread_attr_t attributes;
  Seen seen;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 64 << 10);
  RunThread(&attributes, LookInThread, &seen);
  ExpectKnown(seen);
  alignas(4096) static uint8_t memory[64 << 10];
  pthread_attr_setstack(&attributes, memory, sizeof(memory));
  RunThread(&attributes, LookInThread, &seen);
  ExpectKnown(seen);
  EXPECT_EQ(seen.bounds.low, reinterpret_cast<uint64_t>(memory));
  pthread_attr_destroy(&attributes);
}

Seen g_of_fiber;
ucontext_t g_fiber, g_back;

void* LookInFiber(void*) {
  constexpr size_t kBytes = 64 << 10;
  void* const stack =
      mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext(&g_fiber);
  g_fiber.uc_stack.ss_sp = stack;
  g_fiber.uc_stack.ss_size = kBytes;
  g_fiber.uc_link = &g_back;
  makecontext(
      &g_fiber, [] { Look(&g_of_fiber); }, 0);
  swapcontext(&g_back, &g_fiber);
  munmap(stack, kBytes);
  return nullptr;
}

TEST_F(OwnStackTest, AFibersIsUnknown) {
  LookInFiber(nullptr);
  EXPECT_NE(g_of_fiber.sp, 0u);
  EXPECT_EQ(g_of_fiber.bounds.high, 0u);
  g_of_fiber = {};
  RunThread(nullptr, LookInFiber, nullptr);
  EXPECT_NE(g_of_fiber.sp, 0u);
  EXPECT_EQ(g_of_fiber.bounds.high, 0u);
}

// A thread that libc knows nothing of: with its creator's thread pointer, or with none at all.
Seen g_of_clone;

int LookInClone(void* without_pointer) {
  if (without_pointer != nullptr) syscall(SYS_arch_prctl, ARCH_SET_FS, 0);
  Look(&g_of_clone);
  long unused;
  asm volatile("syscall" : "=a"(unused) : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
  return 0;
}

// Without the stack protector, which lives behind the thread pointer, and without errno.
__attribute__((noinline, optimize("no-stack-protector"))) void RunClone(bool without_pointer) {
  alignas(16) static uint8_t stack[64 << 10];
  g_of_clone = {};
  const int pid = clone(LookInClone, stack + sizeof(stack), CLONE_VM | CLONE_FS | SIGCHLD,
                        without_pointer ? &g_of_clone : nullptr);
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST_F(OwnStackTest, ARawThreadsIsUnknown) {
  if (kThreadSanitizer) GTEST_SKIP() << "the thread sanitizer ends such threads";
  RunClone(false);
  EXPECT_NE(g_of_clone.sp, 0u);
  EXPECT_EQ(g_of_clone.bounds.high, 0u);
}

TEST_F(OwnStackTest, AThreadWithoutAThreadPointerIsHarmless) {
  if (kThreadSanitizer) GTEST_SKIP() << "the thread sanitizer ends such threads";
  RunClone(true);
  EXPECT_NE(g_of_clone.sp, 0u);
  EXPECT_EQ(g_of_clone.bounds.high, 0u);
}

TEST_F(OwnStackTest, BeforeTheLayoutIsSetAllAreUnknown) {
  SetStackLayout({});
  Seen seen;
  RunThread(nullptr, LookInThread, &seen);
  EXPECT_EQ(seen.bounds.high, 0u);
  Look(&seen);
  EXPECT_EQ(seen.bounds.high, 0u);
}

}  // namespace
}  // namespace sonde
