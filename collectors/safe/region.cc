// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region.h"

namespace sonde {
namespace {

static_assert(sizeof(StackBody) == 16 && sizeof(FrameChunk) == 128 && sizeof(SharedPair) == 16);
static_assert(sizeof(ThreadBody) == 64 && sizeof(ProcessSlot) == 64 && sizeof(DropCounter) == 16);
static_assert(sizeof(LiveBody) == 24);
static_assert(sizeof(RegionHeader) <= kSectionAlignment);

// In the order of Section.
constexpr uint32_t kEntryBytes[kSectionCount] = {
    sizeof(uint64_t),    sizeof(StackBody),   sizeof(uint32_t), sizeof(FrameChunk),
    sizeof(uint64_t),    sizeof(SharedPair),  sizeof(uint64_t), sizeof(ThreadBody),
    sizeof(ProcessSlot), sizeof(DropCounter), sizeof(uint64_t), sizeof(uint64_t),
    sizeof(uint64_t),    sizeof(uint64_t),    sizeof(LiveBody),
};

struct Lengths {
  uint64_t of[kSectionCount];
};

// Malloc-safe: may not allocate or block.
Lengths LengthsOf(const RegionCounts& counts) {
  return {{counts.stacks, counts.stacks, counts.chunks, counts.chunks, counts.cells, counts.cells,
           counts.threads, counts.threads, counts.processes, kKindLimit * kDropReasonLimit,
           uint64_t{counts.mappings_bytes} / sizeof(uint64_t) * 2,
           uint64_t{counts.ring_bytes} / sizeof(uint64_t),
           uint64_t{counts.open_step_bytes} / sizeof(uint64_t) * 2, counts.live, counts.live}};
}

// Async-signal-safe.
constexpr uint64_t AlignUp(uint64_t value) {
  return (value + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

// Async-signal-safe.
uint32_t Scaled(uint32_t base, int shift, uint32_t least, uint32_t most) {
  const uint64_t value = shift >= 0 ? uint64_t{base} << shift : uint64_t{base} >> -shift;
  return static_cast<uint32_t>(value < least ? least : value > most ? most : value);
}

// Malloc-safe: may not allocate or block.
RegionCounts CountsForShift(int shift) {
  const RegionCounts base;
  RegionCounts counts;
  counts.stacks = Scaled(base.stacks, shift, kBucketWays, kMaxStacks);
  counts.chunks = Scaled(base.chunks, shift, kBucketWays, kMaxChunks);
  counts.cells = Scaled(base.cells, shift, kBucketWays, kMaxCells);
  counts.threads = Scaled(base.threads, shift, 64, kMaxThreads);
  counts.processes = Scaled(base.processes, shift, 64, kMaxProcesses);
  counts.live = Scaled(base.live, shift, kBucketWays, kMaxLive);
  counts.mappings_bytes = Scaled(base.mappings_bytes, shift, 4096, kMaxMappingsBytes);
  counts.ring_bytes = Scaled(base.ring_bytes, shift, 4096, kMaxRingBytes);
  counts.open_step_bytes = Scaled(base.open_step_bytes, shift, 4096, kMaxRingBytes);
  return counts;
}

// Async-signal-safe.
bool PowerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

// Malloc-safe: may not allocate or block.
void SetPointers(char* base, const RegionHeader& header, Region* region) {
  auto at = [&](Section section) { return base + header.sections[uint32_t(section)].offset; };
  region->header = reinterpret_cast<RegionHeader*>(base);
  region->stack_tags = reinterpret_cast<Shared<uint64_t>*>(at(Section::kStackTags));
  region->stacks = reinterpret_cast<StackBody*>(at(Section::kStackBodies));
  region->chunk_owners = reinterpret_cast<Shared<uint32_t>*>(at(Section::kChunkOwners));
  region->chunks = reinterpret_cast<FrameChunk*>(at(Section::kChunks));
  region->cell_keys = reinterpret_cast<Shared<uint64_t>*>(at(Section::kCellKeys));
  region->cells = reinterpret_cast<SharedPair*>(at(Section::kCellValues));
  region->thread_tags = reinterpret_cast<Shared<uint64_t>*>(at(Section::kThreadTags));
  region->threads = reinterpret_cast<ThreadBody*>(at(Section::kThreadBodies));
  region->processes = reinterpret_cast<ProcessSlot*>(at(Section::kProcesses));
  region->drops = reinterpret_cast<DropCounter*>(at(Section::kDrops));
  region->mappings = reinterpret_cast<Shared<uint64_t>*>(at(Section::kMappings));
  region->ring = reinterpret_cast<Shared<uint64_t>*>(at(Section::kRing));
  region->open_steps = reinterpret_cast<Shared<uint64_t>*>(at(Section::kOpenSteps));
  region->live_keys = reinterpret_cast<Shared<uint64_t>*>(at(Section::kLiveKeys));
  region->live = reinterpret_cast<LiveBody*>(at(Section::kLiveBodies));
}

// Malloc-safe: may not allocate or block.
RegionCounts CountsOf(const RegionHeader& header) {
  auto count = [&](Section section) {
    return static_cast<uint32_t>(header.sections[uint32_t(section)].count);
  };
  RegionCounts counts;
  counts.stacks = count(Section::kStackTags);
  counts.chunks = count(Section::kChunks);
  counts.cells = count(Section::kCellKeys);
  counts.threads = count(Section::kThreadTags);
  counts.processes = count(Section::kProcesses);
  counts.live = count(Section::kLiveKeys);
  counts.mappings_bytes = count(Section::kMappings) / 2 * uint32_t{sizeof(uint64_t)};
  counts.ring_bytes = count(Section::kRing) * uint32_t{sizeof(uint64_t)};
  counts.open_step_bytes = count(Section::kOpenSteps) / 2 * uint32_t{sizeof(uint64_t)};
  return counts;
}

// Malloc-safe: may not allocate or block. The first bytes: is this a region of ours at all?
bool CheckStart(const RegionHeader& header, uint64_t size, RegionError* error) {
  if (header.magic != kRegionMagic) {
    error->Add("not a Sonde region: the first 8 bytes are not \"SDREGION\"");
  } else if (header.byte_order != kByteOrderMark) {
    error->Add("region was written by a machine of the other byte order");
  } else if (header.version != kRegionVersion) {
    error->Add("region has version ").Add(header.version).Add(", expected ").Add(kRegionVersion);
    error->Add(header.version < kRegionVersion ? ": it was written by an older agent"
                                               : ": it was written by a newer agent");
  } else if (header.header_bytes != sizeof(RegionHeader)) {
    error->Add("region header has ").Add(header.header_bytes).Add(" bytes, expected ");
    error->Add(uint64_t{sizeof(RegionHeader)}).Add(": the agent was of another build");
  } else if (header.total_bytes > size) {
    error->Add("region is cut off: ").Add(size).Add(" bytes of ").Add(header.total_bytes);
  } else if (header.bucket_ways != kBucketWays) {
    error->Add("region has buckets of ").Add(header.bucket_ways).Add(" slots, expected ");
    error->Add(kBucketWays);
  } else {
    return true;
  }
  return false;
}

// Malloc-safe: may not allocate or block. Sections lie in order, inside the region, and do not
// overlap.
bool CheckPlaces(const RegionHeader& header, RegionError* error) {
  uint64_t end = sizeof(RegionHeader);
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    const SectionEntry& section = header.sections[i];
    const bool known = section.id == i && section.entry_bytes == kEntryBytes[i];
    const bool placed = section.offset % kSectionAlignment == 0 && section.offset >= end &&
                        section.offset <= header.total_bytes &&
                        section.count <= (header.total_bytes - section.offset) / kEntryBytes[i];
    if (!known || !placed) {
      error->Add("region section ").Add(i);
      error->Add(known ? " lies outside of the region or over another"
                       : " is not of a known shape");
      return false;
    }
    end = section.offset + section.count * kEntryBytes[i];
  }
  return true;
}

// Malloc-safe: may not allocate or block. Counts that the code relies on: powers of two, bits of a
// key.
bool CheckCounts(const RegionHeader& header, RegionError* error) {
  auto n = [&](Section section) { return header.sections[uint32_t(section)].count; };
  const uint64_t stacks = n(Section::kStackTags), cells = n(Section::kCellKeys);
  const uint64_t chunks = n(Section::kChunks), threads = n(Section::kThreadTags);
  const uint64_t processes = n(Section::kProcesses), words = n(Section::kMappings);
  const uint64_t live = n(Section::kLiveKeys);
  const bool tables = PowerOfTwo(stacks) && stacks >= kBucketWays && stacks <= kMaxStacks &&
                      PowerOfTwo(cells) && cells >= kBucketWays && cells <= kMaxCells;
  const bool twins = n(Section::kStackBodies) == stacks && n(Section::kCellValues) == cells &&
                     n(Section::kLiveBodies) == live && n(Section::kChunkOwners) == chunks &&
                     n(Section::kThreadBodies) == threads;
  const uint64_t ring = n(Section::kRing), open = n(Section::kOpenSteps);
  const bool past = ring >= kMinRingWords && ring <= kMaxRingBytes / sizeof(uint64_t) &&
                    open % 2 == 0 && open >= 2 * kMinRingWords &&
                    open <= kMaxRingBytes / sizeof(uint64_t);
  const bool rest = past && chunks >= 1 && chunks <= kMaxChunks && PowerOfTwo(threads) &&
                    threads <= kMaxThreads && PowerOfTwo(processes) && processes <= kMaxProcesses &&
                    n(Section::kDrops) == kKindLimit * kDropReasonLimit && words % 2 == 0 &&
                    words <= kMaxMappingsBytes / 4 && PowerOfTwo(live) && live >= kBucketWays &&
                    live <= kMaxLive;
  if (tables && twins && rest) return true;
  error->Add("region tables have impossible sizes: ").Add(stacks).Add(" stacks, ").Add(chunks);
  error->Add(" chunks, ").Add(cells).Add(" cells, ").Add(threads).Add(" threads");
  return false;
}

}  // namespace

const char* DropReasonName(DropReason reason) {
  static constexpr const char* kNames[] = {
      "none",         "stack_table_full", "frames_full",  "cell_table_full", "contended",
      "counter_full", "stale_stack",      "stale_thread", "scratch_busy",    "no_thread_slot",
      "bad_sample",   "no_room_on_stack", "reentered",    "reader_full",     "live_table_full",
  };
  const auto i = static_cast<uint32_t>(reason);
  return i < sizeof kNames / sizeof *kNames ? kNames[i] : "unknown";
}

RegionCounts CountsForBudget(uint64_t budget_bytes) {
  if (budget_bytes < kMinRegionBytes) budget_bytes = kMinRegionBytes;
  if (budget_bytes > kMaxRegionBytes) budget_bytes = kMaxRegionBytes;
  int shift = 5;  // kMaxStacks
  while (RegionBytes(CountsForShift(shift)) > budget_bytes) --shift;
  RegionCounts counts = CountsForShift(shift);
  // The slack of two pages is for the alignment of the two chunk sections.
  const uint64_t used = RegionBytes(counts) + 2 * kSectionAlignment;
  if (used < budget_bytes) {
    const uint64_t more = (budget_bytes - used) / (sizeof(FrameChunk) + sizeof(uint32_t));
    counts.chunks = Scaled(static_cast<uint32_t>(counts.chunks + more), 0, 1, kMaxChunks);
  }
  return counts;
}

uint64_t RegionBytes(const RegionCounts& counts) {
  const Lengths lengths = LengthsOf(counts);
  uint64_t total = AlignUp(sizeof(RegionHeader));
  for (uint32_t i = 0; i < kSectionCount; ++i) total += AlignUp(lengths.of[i] * kEntryBytes[i]);
  return total;
}

Region FormatRegion(void* bytes, const RegionCounts& counts) {
  auto* header = static_cast<RegionHeader*>(bytes);
  const Lengths lengths = LengthsOf(counts);
  uint64_t offset = AlignUp(sizeof(RegionHeader));
  for (uint32_t i = 0; i < kSectionCount; ++i) {
    header->sections[i] = {i, kEntryBytes[i], offset, lengths.of[i]};
    offset += AlignUp(lengths.of[i] * kEntryBytes[i]);
  }
  header->version = kRegionVersion;
  header->byte_order = kByteOrderMark;
  header->header_bytes = sizeof(RegionHeader);
  header->page_bytes = kSectionAlignment;
  header->total_bytes = offset;
  header->bucket_ways = kBucketWays;
  header->magic = kRegionMagic;
  Region region;
  region.counts = CountsOf(*header);
  SetPointers(static_cast<char*>(bytes), *header, &region);
  return region;
}

bool OpenRegion(const void* bytes, uint64_t size, Region* region, RegionError* error) {
  error->Clear();
  if (size < sizeof(RegionHeader)) {
    error->Add("region is cut off: ").Add(size).Add(" bytes, a header has ");
    error->Add(uint64_t{sizeof(RegionHeader)});
    return false;
  }
  const auto& header = *static_cast<const RegionHeader*>(bytes);
  if (!CheckStart(header, size, error) || !CheckPlaces(header, error)) return false;
  if (!CheckCounts(header, error)) return false;
  region->counts = CountsOf(header);
  SetPointers(const_cast<char*>(static_cast<const char*>(bytes)), header, region);
  return true;
}

DropCounter& DropCounterOf(const Region& region, Kind kind, DropReason reason) {
  const uint32_t row = static_cast<uint32_t>(kind) % kKindLimit;
  return region.drops[row * kDropReasonLimit + static_cast<uint32_t>(reason) % kDropReasonLimit];
}

void CountDrop(const Region& region, Kind kind, DropReason reason, uint64_t events,
               uint64_t amount) {
  DropCounter& counter = DropCounterOf(region, kind, reason);
  counter.events.Add(events);
  counter.amount.Add(amount);
}

}  // namespace sonde
