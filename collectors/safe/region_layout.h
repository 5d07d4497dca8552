// SPDX-License-Identifier: Apache-2.0
// What lies in the region: the header, the sections and the words of each table. Included by every
// part of this folder and by whoever reads a region after its process has died. Position
// independent: offsets and indexes only, no pointer. A fresh page of zeros is the valid empty state
// of every section.
//
//   header │ stack tags │ stack bodies │ chunk owners │ chunks │ cell keys │ cell values │ threads
//   │ processes │ drops │ mappings │ ring │ open steps │ live keys │ live bodies
//            who is in     where its      who uses       the      who counts  what has
//            the slot      frames are     the chunk      frames   in the cell been counted
//   ring: the last minutes, step by step (region_ring.h); open steps: the one being filled, twice
#pragma once

#include <stdint.h>

#include "collectors/safe/region_atomic.h"

namespace sonde {

inline constexpr uint64_t kRegionMagic = 0x4e4f4947'45524453;  // "SDREGION", little end first
inline constexpr uint32_t kRegionVersion = 3;
inline constexpr uint32_t kByteOrderMark = 0x01020304;
inline constexpr uint64_t kSectionAlignment = 4096;

inline constexpr uint32_t kMaxDepth = 256;  // frames of a stack
inline constexpr uint32_t kFramesPerChunk = 15;

// Slots of a bucket: one cache line of tags or keys.
#ifdef SONDE_MODEL_CHECK
inline constexpr uint32_t kBucketWays = 1;
#else
inline constexpr uint32_t kBucketWays = 8;
#endif

// Limits that come from the bits of a cell key (cell_table.h) and of a thread tag (thread_table.h).
inline constexpr uint32_t kMaxStacks = 1u << 18;
inline constexpr uint32_t kMaxThreads = 1u << 14;
inline constexpr uint32_t kMaxProcesses = 1u << 10;
inline constexpr uint32_t kMaxChunks = 1u << 24;
inline constexpr uint32_t kMaxCells = 1u << 22;
inline constexpr uint32_t kMaxLive = 1u << 20;
inline constexpr uint32_t kLiveGroupWords = 16;          // 64 groups of live slots to each
inline constexpr uint32_t kMaxMappingsBytes = 1u << 24;  // of one copy of the text
inline constexpr uint64_t kMinRingWords = 64;
inline constexpr uint32_t kMaxRingBytes = 1u << 27;  // of the past, and of its open step

// What a cell counts. The unit of `amount` depends on it.
enum class Kind : uint8_t {
  kNone = 0,
  kCpu = 1,     // events: samples; amount: nanoseconds of CPU time
  kAlloc = 2,   // events: allocations; amount: bytes; of all that the samples stand for
  kMmap = 3,    // the same of large anonymous mappings
  kLive = 4,    // never in a cell: drops of blocks that are counted as allocated but not as live
  kThread = 5,  // events: threads made; amount: the same
  // Contention: events: contentions; amount: nanoseconds of delay; of all that the samples stand
  // for.
  kUnlock = 6,         // of those whom the unlocking stack had kept waiting
  kWaitMutex = 7,      // of those who waited
  kWaitReadWrite = 8,  // …
  kWaitCondition = 9,
  kWaitSemaphore = 10,
  kWaitJoin = 11,
  kOffCpu =
      12,  // never in a cell: of the recording of wall time. events: looks; amount: nanoseconds
};
inline constexpr uint32_t kKindLimit = 16;

// Why something was not recorded. Stored in regions, so numbers are never reused.
enum class DropReason : uint8_t {
  kNone = 0,
  kStackTableFull = 1,  // both buckets of the stack are taken
  kFramesFull = 2,      // no chunk left for the frames
  kCellTableFull = 3,   // both buckets of the cell are taken
  kContended = 4,       // gave up after a bounded number of retries
  kCounterFull = 5,     // the counter of the cell would overflow
  kStaleStack = 6,      // the writer stalled until its stack had been evicted
  kStaleThread = 7,     // the same with its thread
  kScratchBusy = 8,     // no buffer to walk the stack into
  kNoThreadSlot = 9,    // the thread table is full
  kBadSample = 10,      // no frame, too many, or no events: a caller's mistake
  kNoRoomOnStack = 11,  // too little room below the stack pointer
  kReentered = 12,      // the handler interrupted itself
  kReaderFull = 13,     // the memory of a capture or of the recorder is used up
  kLiveTableFull = 14,  // both buckets of the block's address are taken
};
inline constexpr uint32_t kDropReasonLimit = 16;

// Async-signal-safe. Snake case, as in metrics; "unknown" for a number without a name.
const char* DropReasonName(DropReason reason);

struct StackBody {
  Shared<uint32_t> chunk;  // index of the first chunk
  Shared<uint32_t> shape;  // depth:16 | flags:16
  Shared<uint32_t> pins;   // live things that keep the stack from being evicted
  Shared<uint32_t> reserved;
};

struct FrameChunk {
  Shared<uint64_t> next;  // index of the next chunk of the same stack
  Shared<uint64_t> frames[kFramesPerChunk];
};

// What is known of the thread whose tag (state:2 | generation:20 | process:10 | tid:32) lies in
// kThreadTags.
struct ThreadBody {
  Shared<uint64_t> name[2];  // 16 bytes as the kernel has them
  Shared<uint64_t> first_seen_ns;
  Shared<uint64_t> last_seen_ns;
  Shared<uint64_t> cpu_ns;
  Shared<uint64_t> reserved[3];
};

struct ProcessSlot {
  Shared<uint64_t> tag;          // state:2 | generation:14 | unused:16 | pid:32
  Shared<uint64_t> start_ticks;  // field 22 of /proc/PID/stat
  Shared<uint64_t> parent;       // slot + 1; 0: none
  Shared<uint64_t> first_seen_ns;
  Shared<uint64_t> reserved[4];
};

// A sampled block that has not been freed; its key (live_table.h) lies in kLiveKeys.
struct LiveBody {
  Shared<uint64_t> owner;  // stack:18 | stack generation:14 | tid:22 | kind:4
  Shared<uint64_t> size;   // bytes, as asked for
  Shared<uint64_t> birth;  // hundredths of a second since the region was made:32 | interval:32
};

struct DropCounter {
  Shared<uint64_t> events;
  Shared<uint64_t> amount;
};

enum class Section : uint32_t {
  kStackTags,
  kStackBodies,
  kChunkOwners,
  kChunks,
  kCellKeys,
  kCellValues,
  kThreadTags,
  kThreadBodies,
  kProcesses,
  kDrops,
  kMappings,
  kRing,
  kOpenSteps,
  kLiveKeys,
  kLiveBodies,
};
inline constexpr uint32_t kSectionCount = 15;

struct SectionEntry {
  uint32_t id;
  uint32_t entry_bytes;
  uint64_t offset;  // from the start of the region
  uint64_t count;
};

// Times are CLOCK_MONOTONIC; UTC = monotonic + utc_offset_ns, which the cold side refreshes.
struct RegionHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t byte_order;
  uint32_t header_bytes;
  uint32_t page_bytes;
  uint64_t total_bytes;
  SectionEntry sections[kSectionCount];

  int32_t host_pid;
  uint32_t bucket_ways;
  uint64_t host_start_ticks;
  char boot_id[40];    // text, NUL-terminated
  char host_name[64];  // the same
  uint64_t created_monotonic_ns;
  Shared<uint64_t> utc_offset_ns;
  Shared<uint64_t> alive_ns;  // when the cold side last looked after it; refreshed with the offset

  Shared<uint64_t> cold_owner;    // who evicts: process slot + 1; 0: nobody
  Shared<uint64_t> fold_count;    // of all owners
  Shared<uint32_t> thread_high;   // slots from here on were never used
  Shared<uint32_t> process_high;  // the same
  Shared<uint32_t> chunk_cursor;  // where to look for a free chunk; a hint
  Shared<uint32_t> mappings_length[2];
  Shared<uint32_t> mappings_active;   // sequence; its lowest bit says which copy is whole
  Shared<uint32_t> open_step_active;  // the same, of the step that is being filled
  Shared<uint32_t> thread_cursor;     // where to look for a free thread slot; a hint
  Shared<uint64_t> ring_tail;         // words ever written before the oldest step that is whole
  Shared<uint64_t> ring_head;         // words ever written: where the next step goes
  Shared<uint64_t> live_groups[kLiveGroupWords];  // a bit for each group that may hold blocks
};

}  // namespace sonde
