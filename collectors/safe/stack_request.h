// SPDX-License-Identifier: Apache-2.0
// Asks a running thread for its stack: a one-shot timer on that thread's own CPU clock, so it fires
// only while the thread runs and interrupts nothing that waits; the handler leaves the stack here.
//
// Who calls: the agent thread asks, polls and takes back; the handler answers. Thread-safety: one
// word a request, which says whose turn it is. Memory: kMaxOneShots × 2 KiB, private to the
// process, untouched until used.
//
//   free ── Ask ──► asked ── handler ──► answering ── handler ──► answered
//    ▲                └───── TakeBack ─────┐ (not while answering)    │
//    └─────────────────────────────────────┴───────── TakeBack ───────┘
#pragma once

#include <atomic>
#include <cstdint>

#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region_layout.h"
#include "collectors/safe/unwind.h"

namespace sonde {

struct StackRequest {
  std::atomic<uint32_t> word;  // generation << 2 | turn
  uint32_t timer = 0;          // of StartOneShot; the agent thread's
  uint32_t depth = 0;
  StackEnd end = StackEnd::kNoUnwindData;
  uint64_t frames[kMaxDepth];
};

// Agent thread. The number of the request, or a negated errno: see StartOneShot.
int AskForStack(int tid, uint64_t after_ns, int signal);

// Agent thread. The finished answer, or null: not yet.
const StackRequest* AnswerOf(uint32_t number);

// Agent thread. Ends a request, answered or not. False: the handler is writing right now; come
// back later.
[[nodiscard]] bool TakeBackRequest(uint32_t number);

// Async-signal-safe. Whether a timer's signal belongs to a request.
bool IsStackRequest(TimerCookie cookie);

// Async-signal-safe. The request to answer, or null: it was taken back.
StackRequest* BeginStackAnswer(TimerCookie cookie);

// Async-signal-safe. frames[0 … depth) are filled in.
void EndStackAnswer(StackRequest* request, uint32_t depth, StackEnd end);

// Async-signal-safe. In a forked child: nobody waits for an answer here.
void StackRequestsAfterFork();

}  // namespace sonde
