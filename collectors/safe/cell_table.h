// SPDX-License-Identifier: Apache-2.0
// Who counted what on which stack: cells of (events, amount), both monotone within a generation of
// the cell and changed together by one 16-byte compare-and-swap. Two counts because every profile
// has two (samples and CPU time, objects and bytes, contentions and delay), and a rate that changes
// breaks the ratio between them. Handlers add; only the cold side evicts. Set-associative as the
// stack table, so nothing moves.
//
//   key:   kind:6 | thread generation:10 | thread:14 | stack generation:14 | stack:18 | cell
//   generation:2 value: cell generation:24 | events:40          second word: amount:64
//
// A key counts only while its two generation bits are those of the value: see README.md, "Cells".
// Thread-safety: lock-free, bounded. Memory: counts.cells × 24 bytes.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

struct CellKey {
  StackId stack;
  uint32_t thread_slot = 0;
  uint32_t thread_generation = 0;  // its lower 10 bits
  Kind kind = Kind::kNone;

  static CellKey Of(uint64_t word);
  uint64_t word() const;  // with a cell generation of 0
};

inline constexpr uint32_t kThreadGenerationMask = (1u << 10) - 1;
inline constexpr uint64_t kMaxCellEvents = (uint64_t{1} << 40) - 1;

// Async-signal-safe. Adds to the cell of this key, made if new. events ≥ 1. kNone on success.
[[nodiscard]] DropReason AddToCell(const Region& region, const CellKey& key, uint64_t events,
                                   uint64_t amount);

// What a cell held at one instant.
struct CellReading {
  enum class State : uint8_t { kFree, kCounting, kStale, kTorn } state = State::kFree;
  CellKey key;
  uint64_t word = 0;  // generation and events
  uint64_t amount = 0;
  uint64_t events() const { return word & kMaxCellEvents; }
};

// Async-signal-safe. kTorn: changed too often while it was read, try again later.
CellReading ReadCell(const Region& region, uint32_t index);

// Async-signal-safe. The same for who has just loaded the key of the cell.
CellReading ReadCell(const Region& region, uint32_t index, uint64_t key);

// Cold path only. Takes the cell away from its key, if nothing was added since `reading`. What the
// reading says must have been accounted for. False: it is in use, leave it.
bool EvictCell(const Region& region, uint32_t index, const CellReading& reading);

// Cold path only. Clears a key that never counted (kStale).
void ClearStaleCell(const Region& region, uint32_t index);

}  // namespace sonde
