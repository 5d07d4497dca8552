// SPDX-License-Identifier: Apache-2.0
// Which threads and processes the counts belong to. A slot is claimed by the thread itself or by
// the cold side, and freed by the cold side only, after the thread has gone and nothing counts on
// it any more: late deltas still find their name. Thread-safety: lock-free. Memory: (counts.threads
// + counts.processes) × 64 bytes.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"

namespace sonde {

enum class SlotState : uint8_t { kFree = 0, kLive = 1, kGone = 2 };

// Names a thread for as long as the generation is the slot's. `valid` is false when the table was
// full.
struct ThreadId {
  uint32_t slot = 0;
  uint32_t generation = 0;  // 20 bits
  bool valid = false;
};

struct ProcessId {
  uint32_t slot = 0;
  uint32_t generation = 0;  // 14 bits
  bool valid = false;
};

// A copy of a slot.
struct ThreadInfo {
  SlotState state = SlotState::kFree;
  uint32_t generation = 0;
  int32_t tid = 0;
  uint32_t process_slot = 0;
  char name[17] = {};
  uint64_t first_seen_ns = 0;
  uint64_t last_seen_ns = 0;
  uint64_t cpu_ns = 0;
};

// What the tag alone says: reads one word.
struct ThreadState {
  SlotState state = SlotState::kFree;
  uint32_t generation = 0;
  uint32_t process_slot = 0;
  int32_t tid = 0;
};

struct ProcessInfo {
  SlotState state = SlotState::kFree;
  uint32_t generation = 0;
  int32_t pid = 0;
  uint64_t start_ticks = 0;
  uint32_t parent_slot_plus_one = 0;
  uint64_t first_seen_ns = 0;
};

// Async-signal-safe. The live slot of this process, made if there is none.
[[nodiscard]] ProcessId ClaimProcess(const Region& region, int32_t pid, uint64_t start_ticks,
                                     ProcessId parent, uint64_t now_ns);

// Async-signal-safe. The live slot of this thread, made if there is none.
[[nodiscard]] ThreadId ClaimThread(const Region& region, ProcessId process, int32_t tid,
                                   uint64_t now_ns);

// Async-signal-safe. The same for a thread that can have none yet: it has just begun. Costs a few
// loads, however many threads there are.
[[nodiscard]] ThreadId ClaimNewThread(const Region& region, ProcessId process, int32_t tid,
                                      uint64_t now_ns);

// Async-signal-safe. `name`: up to 16 bytes, as PR_GET_NAME gives them. A reader may see half of a
// change.
void SetThreadName(const Region& region, ThreadId id, const char* name);

// Async-signal-safe. Last sign of life and CPU time used so far.
void TouchThread(const Region& region, ThreadId id, uint64_t now_ns, uint64_t cpu_ns);

// Async-signal-safe. Copies of slots. A thread slot beyond the table reads as free.
ThreadState ReadThreadState(const Region& region, uint32_t slot);
ThreadInfo ReadThread(const Region& region, uint32_t slot);
ProcessInfo ReadProcess(const Region& region, uint32_t slot);

// Async-signal-safe. Slots from here on were never used: the end of every walk over the table.
uint32_t UsedThreadSlots(const Region& region);
uint32_t UsedProcessSlots(const Region& region);

// Cold path only. For a thread that has gone for certain: its half-written things are taken back.
void MarkThreadGone(const Region& region, ThreadId id);

// Cold path only. The same for a process and all its threads.
void MarkProcessGone(const Region& region, ProcessId id);

// Cold path only. gone → free. Nothing may refer to the slot any more.
void FreeThread(const Region& region, uint32_t slot);
void FreeProcess(const Region& region, uint32_t slot);

}  // namespace sonde
