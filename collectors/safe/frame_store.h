// SPDX-License-Identifier: Apache-2.0
// Where the frames of stacks are kept: chunks of 15 frames, chained. Called by stack_table.
// A chunk is claimed by one compare-and-swap of its owner word from 0 to "stack slot + 1", so who
// has it is known at every instant: a writer that is killed leaks nothing that the cold side cannot
// find, and there is no free list whose head could be swapped under a sleeper (ABA). One size of
// chunk, so that an arena which was filled by shallow stacks serves deep ones later. Thread-safety:
// lock-free. Memory: counts.chunks × 132 bytes of the region.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"

namespace sonde {

// A stack as its content. What the walk ended with is part of it.
struct StackContent {
  const uint64_t* frames = nullptr;  // leaf first
  uint32_t depth = 0;                // 1 … kMaxDepth
  uint16_t flags = 0;
};

inline constexpr uint32_t kNoChunk = UINT32_MAX;

// Async-signal-safe. Copies the frames into fresh chunks owned by stack slot `slot`. The first
// chunk's index; kNoChunk when there are too few, then nothing stays claimed.
uint32_t StoreFrames(const Region& region, uint32_t slot, const uint64_t* frames, uint32_t depth);

// Async-signal-safe. Whether the chain holds exactly these frames. The chain may be freed
// meanwhile: the answer counts only if the tag of its stack did not change.
bool FramesEqual(const Region& region, uint32_t first_chunk, const uint64_t* frames,
                 uint32_t depth);

// Async-signal-safe. Copies up to `depth` frames out; how many there were before the chain led
// nowhere.
uint32_t LoadFrames(const Region& region, uint32_t first_chunk, uint32_t depth, uint64_t* frames);

// Cold path only. Gives the chain of `slot` back. Only after the tag of the stack says that it is
// gone.
void FreeFrames(const Region& region, uint32_t slot, uint32_t first_chunk, uint32_t depth);

// Cold path only. Gives every chunk back that names `slot`, whose writer is dead.
void FreeFramesOf(const Region& region, uint32_t slot);

// Cold path only.
uint32_t CountUsedChunks(const Region& region);

}  // namespace sonde
