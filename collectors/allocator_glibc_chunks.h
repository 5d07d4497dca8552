// SPDX-License-Identifier: Apache-2.0
// One contiguous heap of glibc's malloc, chunk by chunk. Used by allocator_glibc.cc; agent thread
// only. 64 KiB of buffer.
//
//   chunk:  previous size (if that is free) | size, 3 flags | block … or, if free: next, previous
#pragma once

#include <stdint.h>

#include <array>
#include <vector>

#include "collectors/memory_page_pages.h"
#include "collectors/process_memory.h"

namespace sonde {

inline constexpr uint64_t kChunkInUseBefore = 1;  // the chunk before this one is in use
inline constexpr uint64_t kChunkIsMapping = 2;
inline constexpr uint64_t kChunkOtherArena = 4;
inline constexpr uint64_t kChunkFlags = 7;

// Reads words ahead, so that neighbours cost one system call; never ahead into pages that are not
// in memory, because reading would bring them there. What it returns may be as old as the last
// jump.
class HeapReader {
 public:
  HeapReader(const ProcessMemory& memory, ResidentPages* pages) : memory_(memory), pages_(pages) {}
  HeapReader(const HeapReader&) = delete;
  HeapReader& operator=(const HeapReader&) = delete;

  // Reads may go up to `high`, not beyond. Cold path only.
  void SetEnd(uint64_t high);
  // Forgets what was read ahead. Cold path only.
  void Drop() { low_ = size_ = 0; }
  [[nodiscard]] bool Word(uint64_t address, uint64_t* value);
  [[nodiscard]] bool WordAnywhere(uint64_t address, uint64_t* value) const {
    return memory_.ReadObject(address, value);
  }

 private:
  bool Fill(uint64_t address);

  const ProcessMemory& memory_;
  ResidentPages* pages_;
  uint64_t end_ = 0;
  uint64_t low_ = 0;
  uint64_t size_ = 0;
  uint64_t ahead_ = 0;
  std::array<char, size_t{64} << 10> buffer_;
};

struct ChunkTally {
  uint64_t at = 0;        // the next chunk: all before it is counted
  uint64_t in_use = 0;    // bytes
  uint64_t free = 0;      // bytes
  uint64_t free_out = 0;  // of the free ones, in pages that are not in memory
};

struct ChunkWalk {
  ChunkTally tally;
  uint64_t high = 0;  // where the heap ends: it may have grown meanwhile
  bool complete = false;
  bool out_of_budget = false;
  uint32_t setbacks = 0;
  // Addresses outside of the heap that free chunks are linked to: bins of the arena.
  std::vector<uint64_t> outside_links;
};

struct ChunkRange {
  uint64_t low = 0;  // the first chunk
  uint64_t high = 0;
  bool main_arena = false;
  uint64_t heap_info = 0;  // of another arena's heap
};

// Walks from range.low to range.high. The last chunk counts as free when it ends there: it is the
// top, or a fence of 16 bytes. Cold path only.
ChunkWalk WalkChunks(HeapReader* reader, ResidentPages* pages, const ChunkRange& range,
                     const WorkBudget& budget);

// Whether a few chunks from `range.low` on hang together. Cold path only.
bool LooksLikeChunks(HeapReader* reader, const ChunkRange& range);

}  // namespace sonde
