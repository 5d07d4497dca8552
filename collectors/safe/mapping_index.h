// SPDX-License-Identifier: Apache-2.0
// Which parts of the address space belong to sampled mappings: mappings are unmapped, mapped over
// and moved in pieces, so an address alone (live_table.h) does not find them.
//
//   index │ piece │ piece │ free │ piece │ …            private to the process, wiped by a fork
//            └────────└──► live entry: pages left, stack, weight         in the region
//
// Called by the mmap hooks in any thread and in signal handlers, read by the agent thread.
// Lock-free: a piece is two words that change by one swap. Two threads that unmap parts of one
// piece at the same instant may leave one of them here; it goes when its addresses are used again,
// or when the agent finds them unmapped. Searches are linear over as many pieces as there ever were
// at a time: 2 µs if the index is full. Memory: kMaxMappedPieces × 16 bytes, touched as used; zeros
// are the valid empty state.
#pragma once

#include <stdint.h>

#include "collectors/safe/live_table.h"
#include "collectors/safe/region_atomic.h"

namespace sonde {

inline constexpr uint32_t kMaxMappedPieces = 2048;
inline constexpr uint64_t kMappingPageBytes = 4096;

// Whole pages.
struct MappedPiece {
  uint64_t low = 0;
  uint64_t high = 0;
  LiveName live;
};

class MappingIndex {
 public:
  // Async-signal-safe. Slots from here on were never used.
  [[nodiscard]] uint32_t used() const { return used_.Load(); }

  // Async-signal-safe. False: the index is full.
  [[nodiscard]] bool Add(const MappedPiece& piece);

  // Async-signal-safe. False: the slot is free.
  bool Read(uint32_t slot, MappedPiece* piece) const;

  struct Cuttings {
    MappedPiece removed;  // empty: the piece has nothing in the range
    MappedPiece lost;     // a second rest, for which the index has no room; mostly empty
  };
  // Async-signal-safe. Takes [low, high) out of the piece in `slot`; its rests stay.
  Cuttings Cut(uint32_t slot, uint64_t low, uint64_t high);

  // Async-signal-safe. What is added meanwhile may stay.
  void Clear();

 private:
  Shared<uint32_t> used_;
  SharedPair pieces_[kMaxMappedPieces];
};

}  // namespace sonde
