// SPDX-License-Identifier: Apache-2.0
// The region: one mapping per process tree that holds every table. `Region` is a process's own view
// of it, plain pointers that are computed once; copy it freely. Made at activation (region_file.h),
// inherited by fork, read by handlers, by the cold side and, after a death, from a file.
// Thread-safety: the view is constant after it was made; what it points to is shared words.
// Memory: RegionBytes(counts), of which only touched pages count.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "collectors/safe/region_layout.h"
#include "collectors/safe/region_text.h"

namespace sonde {

// How many entries each table has. Stacks, cells, threads and live blocks are powers of two.
struct RegionCounts {
  uint32_t stacks = 8192;
  uint32_t chunks = 8192;
  uint32_t cells = 16384;
  uint32_t threads = 4096;
  uint32_t processes = 1024;
  uint32_t live = 16384;
  uint32_t mappings_bytes = 65536;    // of each of the two copies
  uint32_t ring_bytes = 768 << 10;    // of the steps of the past
  uint32_t open_step_bytes = 131072;  // of each of the two copies of the step being filled
};

inline constexpr uint64_t kMinRegionBytes = 256 << 10;
inline constexpr uint64_t kMaxRegionBytes = 256 << 20;
inline constexpr uint64_t kDefaultRegionBytes = 4 << 20;

struct Region {
  RegionHeader* header = nullptr;  // null: no region, nothing may be recorded
  Shared<uint64_t>* stack_tags = nullptr;
  StackBody* stacks = nullptr;
  Shared<uint32_t>* chunk_owners = nullptr;
  FrameChunk* chunks = nullptr;
  Shared<uint64_t>* cell_keys = nullptr;
  SharedPair* cells = nullptr;
  Shared<uint64_t>* thread_tags = nullptr;
  ThreadBody* threads = nullptr;
  ProcessSlot* processes = nullptr;
  DropCounter* drops = nullptr;
  Shared<uint64_t>* mappings = nullptr;    // two copies, one behind the other
  Shared<uint64_t>* ring = nullptr;        // words
  Shared<uint64_t>* open_steps = nullptr;  // two copies, one behind the other
  Shared<uint64_t>* live_keys = nullptr;
  LiveBody* live = nullptr;
  RegionCounts counts = {0, 0, 0, 0, 0, 0, 0, 0, 0};
};

// Malloc-safe: may not allocate or block. The largest tables that fit; what is left over becomes
// chunks. `budget_bytes` is clamped to [kMinRegionBytes, kMaxRegionBytes].
RegionCounts CountsForBudget(uint64_t budget_bytes);

// Malloc-safe: may not allocate or block. What the tables need, header included.
uint64_t RegionBytes(const RegionCounts& counts);

// Malloc-safe: may not allocate or block. Turns `bytes` (zeroed, page aligned, RegionBytes long)
// into a region. Identity and clocks of the header stay empty: region_file.h fills them in.
Region FormatRegion(void* bytes, const RegionCounts& counts);

// Malloc-safe: may not allocate or block. Checks a region that somebody else wrote, hostile or cut
// off, before anything trusts it. `bytes` is page aligned and may be read-only, then the view may
// only be read from. False: `error` says what is wrong. The contents of the tables are checked
// where they are read.
[[nodiscard]] bool OpenRegion(const void* bytes, uint64_t size, Region* region, RegionError* error);

// Async-signal-safe. Counts what was lost, so that recorded + dropped stays what was offered.
void CountDrop(const Region& region, Kind kind, DropReason reason, uint64_t events,
               uint64_t amount);

// Async-signal-safe. The counter of a kind and reason.
DropCounter& DropCounterOf(const Region& region, Kind kind, DropReason reason);

}  // namespace sonde
