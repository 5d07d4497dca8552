// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/thread_origins.h"

#include <errno.h>

#include <bit>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kIdMask = (uint64_t{1} << 29) - 1;
constexpr uint64_t kWriting = 1;
constexpr uint64_t kWeightMask = 31 << 1;
constexpr uint64_t kNotIdentity = kWeightMask | kWriting;
constexpr uint32_t kGroups = ThreadOrigins::kSlots / ThreadOrigins::kWays;

// Malloc-safe: may not allocate or block.
constexpr uint64_t Word(int32_t pid, int32_t tid) {
  return (static_cast<uint64_t>(pid) & kIdMask) << 35 | (static_cast<uint64_t>(tid) & kIdMask) << 6;
}

// Malloc-safe: may not allocate or block.
constexpr int32_t PidOf(uint64_t word) { return static_cast<int32_t>(word >> 35); }

// Malloc-safe: may not allocate or block.
constexpr int32_t TidOf(uint64_t word) { return static_cast<int32_t>(word >> 6 & kIdMask); }

// Malloc-safe: may not allocate or block.
constexpr uint32_t WeightOf(uint64_t word) { return uint32_t{1} << (word >> 1 & 31); }

// Malloc-safe: may not allocate or block.
constexpr uint64_t WeightBits(uint32_t weight) {
  return static_cast<uint64_t>(std::countr_zero(weight)) << 1 & kWeightMask;
}

// Malloc-safe: may not allocate or block. Who may not be asked about is there.
bool IsGone(uint64_t word) { return sys::Call(SYS_tgkill, PidOf(word), TidOf(word), 0L) == -ESRCH; }

// Malloc-safe: may not allocate or block. Tids are handed out one after the other, so neighbours
// lie in different groups.
ThreadOrigins::Slot* GroupOf(ThreadOrigins* origins, int32_t tid) {
  return origins->slots + static_cast<uint32_t>(tid) % kGroups * ThreadOrigins::kWays;
}

// Malloc-safe: may not allocate or block. A place for `who`: that of a thread which had the same
// tid before, a free one, or one whose thread is gone; null: all of these live. *seen is its word.
ThreadOrigins::Slot* ChooseSlot(ThreadOrigins::Slot* group, uint64_t who, uint64_t* seen) {
  ThreadOrigins::Slot* free = nullptr;
  for (uint32_t way = 0; way < ThreadOrigins::kWays; ++way) {
    const uint64_t word = group[way].who.Load();
    if ((word & ~kNotIdentity) == who) return *seen = word, &group[way];
    if (word == 0 && free == nullptr) free = &group[way];
  }
  if (free != nullptr) return *seen = 0, free;
  // Each time it begins with another.
  const uint32_t from = static_cast<uint32_t>(TidOf(who)) / kGroups;
  for (uint32_t i = 0; i < ThreadOrigins::kWays; ++i) {
    ThreadOrigins::Slot* const slot = &group[(from + i) % ThreadOrigins::kWays];
    const uint64_t word = slot->who.Load();
    if (word == 0 || IsGone(word)) return *seen = word, slot;
  }
  return nullptr;
}

}  // namespace

void EnterThreadOrigin(ThreadOrigins* origins, int32_t pid, int32_t tid, uint64_t stack,
                       uint32_t weight) {
  constexpr int kAttempts = 4;
  ThreadOrigins::Slot* const group = GroupOf(origins, tid);
  const uint64_t who = Word(pid, tid);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint64_t seen = 0;
    ThreadOrigins::Slot* const slot = ChooseSlot(group, who, &seen);
    if (slot == nullptr) break;
    if (!slot->who.Cas(seen, who | kWriting)) continue;
    slot->stack.Store(stack);
    slot->who.Store(who | WeightBits(weight));
    return;
  }
  origins->lost.Add(1);
}

uint64_t FindThreadOrigin(ThreadOrigins* origins, int32_t pid, int32_t tid) {
  ThreadOrigins::Slot* const group = GroupOf(origins, tid);
  const uint64_t who = Word(pid, tid);
  for (uint32_t way = 0; way < ThreadOrigins::kWays; ++way) {
    const uint64_t word = group[way].who.Load();
    if ((word & ~kWeightMask) != who) continue;
    const uint64_t stack = group[way].stack.Load();
    if (group[way].who.Load() == word) return stack;
  }
  return 0;
}

bool SweepThreadOrigin(ThreadOrigins* origins, uint32_t index, ThreadOrigin* out) {
  ThreadOrigins::Slot& slot = origins->slots[index];
  const uint64_t word = slot.who.Load();
  if (word == 0) return false;
  if (IsGone(word)) {
    // Another may have taken the place meanwhile: it keeps it.
    static_cast<void>(slot.who.Cas(word, 0));
    return false;
  }
  *out = {PidOf(word), TidOf(word), slot.stack.Load(), WeightOf(word)};
  return (word & kWriting) == 0 && slot.who.Load() == word;
}

}  // namespace sonde
