// SPDX-License-Identifier: Apache-2.0
// What glibc's malloc has given out and what it keeps, without asking it: mallinfo2 and malloc_info
// hold every arena's lock for tens of milliseconds. Walks the chunk headers from outside instead,
// through reads that cannot fault, while the host goes on allocating. Agent thread only, on request
// only. Memory: 64 KiB of buffer and 64 bytes an arena heap.
//
//   main arena      [heap]: chunk, chunk, … top           (grows by brk)
//   other arenas    at multiples of 64 MiB: heap_info, malloc_state, chunk, chunk, … top
//   large blocks    one mapping each: {offset, size | IS_MMAPPED}, block
//
// Needs no symbol and no version: a malloc_state is known by its 127 bins, each of which is a ring
// through itself; the main arena's is found through the list pointers of its free chunks.
//
// What a race does: chunks are split and merged while they are walked. A stale header is still a
// header; where something else was written over it the walk steps back and goes on from an older
// chunk, at most kMaxSetbacks times, and then says how far it came. Blocks in the per-thread caches
// (at most 7 of a size, up to 1 KiB each) look given out.
//
// Cost: 0.24 s of CPU a GiB of small blocks, much less of large ones; each read takes the address
// space's lock, shared, for one page. Stops at the deadline and extrapolates what is left.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "collectors/memory_page_pages.h"
#include "collectors/memory_page_survey.h"
#include "collectors/process_memory.h"

namespace sonde {

struct GlibcHeap {
  uint64_t resident = 0;        // of the heaps and large blocks, what is in memory
  uint64_t free = 0;            // of that, in free chunks
  uint64_t given_out = 0;       // in chunks in use, in memory or not, headers included
  uint64_t free_addresses = 0;  // in free chunks, in memory or not
  uint64_t large_blocks = 0;    // bytes of blocks that have a mapping of their own
  uint64_t walked = 0;          // bytes of arena heaps that were walked, of …
  uint64_t total = 0;
  uint32_t arenas = 0;
  uint32_t setbacks = 0;
  bool main_arena_known = false;  // else its fast bins look given out
  std::string problem;            // empty: all was walked
};

// Throws std::bad_alloc. Cold path only.
GlibcHeap WalkGlibcHeap(const ProcessMemory& memory, ResidentPages* pages,
                        const std::vector<SurveyedRegion>& regions, const WorkBudget& budget);

}  // namespace sonde
