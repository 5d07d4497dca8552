// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/stack_request.h"

#include <errno.h>

namespace sonde {
namespace {

// The cookie's index is beyond those of the sampling timers.
constexpr uint16_t kFirstIndex = 0x8000;
static_assert(kMaxTimers <= kFirstIndex);

enum Turn : uint32_t { kFree, kAsked, kAnswering, kAnswered };

constinit StackRequest g_requests[kMaxOneShots]{};

constexpr uint32_t Word(uint32_t generation, Turn turn) { return generation << 2 | turn; }
constexpr Turn TurnOf(uint32_t word) { return static_cast<Turn>(word & 3); }
constexpr uint32_t GenerationOf(uint32_t word) { return word >> 2 & 0xFFFFFF; }

}  // namespace

// Cold path only.
int AskForStack(int tid, uint64_t after_ns, int signal) {
  uint32_t number = 0;
  while (number < kMaxOneShots && TurnOf(g_requests[number].word.load()) != kFree) ++number;
  if (number == kMaxOneShots) return -EAGAIN;
  StackRequest& request = g_requests[number];
  const uint32_t generation = GenerationOf(request.word.load(std::memory_order_relaxed)) + 1;
  // Before the timer: it may fire at once. Release pairs with BeginStackAnswer.
  request.word.store(Word(generation & 0xFFFFFF, kAsked), std::memory_order_release);
  const TimerCookie cookie{static_cast<uint16_t>(kFirstIndex + number), generation & 0xFFFFFF};
  const int timer = StartOneShot(tid, cookie, after_ns, signal);
  if (timer < 0) {
    request.word.store(Word(generation & 0xFFFFFF, kFree), std::memory_order_release);
    return timer;
  }
  request.timer = static_cast<uint32_t>(timer);
  return static_cast<int>(number);
}

// Cold path only.
const StackRequest* AnswerOf(uint32_t number) {
  const StackRequest& request = g_requests[number];
  // Acquire pairs with EndStackAnswer.
  return TurnOf(request.word.load(std::memory_order_acquire)) == kAnswered ? &request : nullptr;
}

// Cold path only.
bool TakeBackRequest(uint32_t number) {
  StackRequest& request = g_requests[number];
  uint32_t word = request.word.load(std::memory_order_acquire);
  if (TurnOf(word) == kFree) return true;
  // A handler that comes later finds another turn, or another generation.
  const uint32_t free = Word(GenerationOf(word), kFree);
  if (TurnOf(word) == kAnswering || !request.word.compare_exchange_strong(word, free)) return false;
  StopOneShot(request.timer);
  return true;
}

// Async-signal-safe.
bool IsStackRequest(TimerCookie cookie) {
  return cookie.index >= kFirstIndex && cookie.index < kFirstIndex + kMaxOneShots;
}

// Async-signal-safe.
StackRequest* BeginStackAnswer(TimerCookie cookie) {
  StackRequest& request = g_requests[cookie.index - kFirstIndex];
  uint32_t expected = Word(cookie.generation, kAsked);
  const bool ours =
      request.word.compare_exchange_strong(expected, Word(cookie.generation, kAnswering));
  return ours ? &request : nullptr;
}

// Async-signal-safe.
void EndStackAnswer(StackRequest* request, uint32_t depth, StackEnd end) {
  request->depth = depth;
  request->end = end;
  const uint32_t generation = GenerationOf(request->word.load(std::memory_order_relaxed));
  request->word.store(Word(generation, kAnswered), std::memory_order_release);  // with AnswerOf
}

// Async-signal-safe.
void StackRequestsAfterFork() {
  for (StackRequest& request : g_requests) {
    const uint32_t word = request.word.load(std::memory_order_relaxed);
    request.word.store(Word(GenerationOf(word), kFree), std::memory_order_relaxed);
  }
}

}  // namespace sonde
