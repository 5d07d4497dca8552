// SPDX-License-Identifier: Apache-2.0
// Burns CPU in every kind of frame that services have, and walks its own stack at each expiry of a
// CPU timer. Prints how many walks reached main or the thread's start, and fails below 99 %.
// compare_gdb.py runs it under gdb, stops at SampleTaken, and compares. Compiled several times,
// with other options each time; see CMakeLists.txt.
//
//   torture SAMPLES [PERIOD_US]
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <atomic>
#include <thread>

#include "walk_testing.h"
#include "workload.h"

#define NOINLINE __attribute__((noinline, noclone))

namespace sonde {
namespace {

std::atomic<int> g_samples{0};
std::atomic<int> g_complete{0};
volatile uint64_t g_sink;

}  // namespace

// For the debugger: the frames of a walk, whose first is the interrupted pc.
extern "C" NOINLINE __attribute__((visibility("default"))) void SampleTaken(const uint64_t* frames,
                                                                            uint64_t depth) {
  asm volatile("" : : "r"(frames), "r"(depth) : "memory");
}

namespace {

void OnProf(int, siginfo_t*, void* context) {
  TestStack stack;
  WalkInTest(RegistersOfContext(context), &stack);
  g_samples.fetch_add(1, std::memory_order_relaxed);
  const bool complete = stack.result.end == StackEnd::kRoot;
  g_complete.fetch_add(complete ? 1 : 0, std::memory_order_relaxed);
  SampleTaken(stack.frames, stack.result.depth);
}

NOINLINE void Burn() {
  uint64_t value = g_sink;
  for (int i = 0; i < 2000; ++i) value = value * 6364136223846793005 + 1442695040888963407;
  g_sink = value;
}

NOINLINE uint64_t Deep(int depth) {
  volatile char pad[24];
  pad[0] = static_cast<char>(depth);
  if (depth == 0) Burn();
  const uint64_t below = depth > 0 ? Deep(depth - 1) : 0;
  return below + static_cast<uint64_t>(pad[0]);
}

NOINLINE void VariableArray(int words) {
  volatile uint64_t array[words];  // NOLINT: what is tested
  for (int i = 0; i < words; ++i) array[i] = static_cast<uint64_t>(i);
  Burn();
  g_sink = g_sink + array[words / 2];
}

struct Slow {
  ~Slow() { Burn(); }
};

NOINLINE void ThrowThrough(int depth) {
  const Slow slow;
  if (depth == 0) throw depth;
  ThrowThrough(depth - 1);
  Burn();
}

NOINLINE void ExceptionsInFlight() {
  try {
    ThrowThrough(5);
  } catch (int) {
    Burn();
  }
}

NOINLINE void JumpBack(int depth, jmp_buf* to) {
  if (depth == 0) {
    Burn();
    longjmp(*to, 1);
  }
  JumpBack(depth - 1, to);
  Burn();
}

NOINLINE void LongJumps() {
  jmp_buf back;
  if (setjmp(back) == 0) JumpBack(4, &back);
}

void OnUsr1(int) { Burn(); }

NOINLINE void HandlerOnAlternateStack() { RaiseHere(SIGUSR1); }

NOINLINE void LinkageTables() {
  char text[64];
  for (int i = 0; i < 20; ++i) {
    snprintf(text, sizeof(text), "%d %s %g", i, "text", i * 0.5);
    g_sink = g_sink + strlen(text) + static_cast<uint64_t>(atoi(text));
    free(malloc(static_cast<size_t>(i) * 100 + 1));
  }
}

NOINLINE void Round() {
  workload::Plain(6, Burn);
  workload::Alloca(300, Burn);
  workload::Aligned(Burn);
  workload::AlignedWithStackArguments(Burn, 2, 3, 4, 5, 6, 7, 8);
  workload::TailCall(Burn);
  workload::EndsInNoReturn(Burn);
  workload::ThroughLibc(Burn);
  workload::ThroughPlt();
  workload::Exceptions();
  workload::Arithmetic();
  Deep(60);
  VariableArray(40);
  ExceptionsInFlight();
  LongJumps();
  HandlerOnAlternateStack();
  LinkageTables();
}

void RunUntil(int samples) {
  static thread_local char alternate[32 << 10];
  const stack_t stack = {alternate, 0, sizeof(alternate)};
  sigaltstack(&stack, nullptr);
  while (g_samples.load(std::memory_order_relaxed) < samples) Round();
  const stack_t none = {nullptr, SS_DISABLE, 0};
  sigaltstack(&none, nullptr);
}

void SetTimer(int period_us) {
  const timeval period = {0, period_us};
  const itimerval timer = {period, period};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

int Run(int samples, int period_us) {
  TestTables();
  struct sigaction usr1 = {};
  usr1.sa_handler = OnUsr1;
  usr1.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &usr1, nullptr);
  const ScopedHandler prof(SIGPROF, OnProf, SA_RESTART);
  SetTimer(period_us);
  RunUntil(samples / 2);
  // From here on the main thread waits, and the samples are the other's.
  std::thread([samples] { RunUntil(samples); }).join();
  SetTimer(0);
  const int taken = g_samples, complete = g_complete;
  printf("%d of %d walks reached the root\n", complete, taken);
  return complete * 100 >= taken * 99 ? 0 : 1;
}

}  // namespace
}  // namespace sonde

int main(int argc, char** argv) {
  const int samples = argc > 1 ? atoi(argv[1]) : 0;
  const int period_us = argc > 2 ? atoi(argv[2]) : 1000;
  if (samples < 2 || period_us < 1) {
    fprintf(stderr, "expected: torture SAMPLES [PERIOD_US], SAMPLES from 2, PERIOD_US from 1\n");
    return 2;
  }
  return sonde::Run(samples, period_us);
}
