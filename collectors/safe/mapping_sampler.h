// SPDX-License-Identifier: Apache-2.0
// What becomes of sampled mappings: they are unmapped, mapped over and moved, in whole or in part,
// by calls that may fail. Which mappings are sampled, and how, is heap_sampler.h; they are counted
// as Kind::kMmap, in whole pages.
//
//   munmap:    Hold the range ─► the host's munmap ─► Release(gone = it worked)
//   mmap:      Hold, if MAP_FIXED ─► the host's mmap ─► Release, then Forget what is still known
//              there: it was unmapped without us ─► RecordBlock, if sampled
//   mremap:    Hold ─► the host's mremap ─► Forget where it is now ─► Move
//
// Held pieces are in no table, so that whoever gets their addresses meanwhile finds them free; they
// go on being counted as live until the call has worked.
//
// Called by the hooks, in any thread, in signal handlers. Lock-free, no memory of its own.
#pragma once

#include <stdint.h>

#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/mapping_index.h"

namespace sonde {

// Smaller ones are not sampled: large mappings are what is looked for, and a small one that grew
// would stand for many.
inline constexpr uint64_t kMinMappingBytes = 64 << 10;

// Malloc-safe: may not allocate or block. Whole pages; 0 on overflow.
inline uint64_t WholePages(uint64_t bytes) {
  return (bytes + kMappingPageBytes - 1) & ~(kMappingPageBytes - 1);
}

struct HeldMappings {
  static constexpr uint32_t kMost = 8;  // the rest is taken for gone at once
  uint32_t count = 0;
  MappedPiece pieces[kMost];
};

// Malloc-safe: may not allocate or block. Whether any mapping is known, so that the rest need not
// be asked.
inline bool AnyMappings() { return g_heap.mappings.used() != 0; }

// Malloc-safe: may not allocate or block. Of [low, high).
SONDE_ANY_STACK void HoldMappings(uint64_t low, uint64_t high, HeldMappings* held);

// Malloc-safe: may not allocate or block. Ends a hold: they are gone, or still there.
SONDE_ANY_STACK void ReleaseMappings(const HeldMappings& held, bool gone);

// Malloc-safe: may not allocate or block. What is known of [low, high) was unmapped without us.
SONDE_ANY_STACK void ForgetMappings(uint64_t low, uint64_t high);

// What mremap did.
struct MappingMove {
  uint64_t from = 0;
  uint64_t old_bytes = 0;
  uint64_t to = 0;
  uint64_t new_bytes = 0;
};

// Malloc-safe: may not allocate or block. Ends a hold of all of the old place: the mapping is where
// mremap put it.
SONDE_ANY_STACK void MoveMappings(const HeldMappings& held, const MappingMove& move);

// Cold path only. Forgets pieces whose first or last page is not mapped any more: they were
// unmapped without us. For the process that the caller runs in.
void ForgetUnmapped();

}  // namespace sonde
