// SPDX-License-Identifier: Apache-2.0
// Chunks: those that walks have missed are built, those that none came to for long make room.
#include <algorithm>
#include <new>
#include <utility>

#include "collectors/unwind_tables.h"

namespace sonde {
namespace {

// An index has a range for each, and one for the stretch before it: 110 bytes.
constexpr size_t kMaxUnwindChunks = 4096;
constexpr size_t kReservedShare = 16;     // of the arena, for indexes
constexpr size_t kEvictedShare = 8;       // of the arena, at once: eviction means a new index
constexpr size_t kEmptyChunkBytes = 128;  // what a chunk without a table costs

}  // namespace

bool UnwindTables::AnyMissed() const {
  if (root_.publication().misses().any() || root_.dirty()) return true;
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) {
    if (share_->children[slot].misses().any()) return true;
  }
  return false;
}

UnwindBuildTools UnwindTables::ToolsForChunks() {
  UnwindBuildTools tools{memory_, arena_};
  tools.chunks_left = kMaxUnwindChunks;
  tools.reserve = arena_.capacity() / kReservedShare;
  for (const auto& entry : entries_) {
    tools.chunks_left -= std::min(tools.chunks_left, entry->chunks().size());
  }
  return tools;
}

bool UnwindTables::BuildMissed() {
  if (!AnyMissed()) return false;
  UnwindBuildTools tools = ToolsForChunks();
  try {
    BuildMissedOf(root_.publication(), root_, memory_, &tools);
    BuildMissedOfChildren(&tools);
    if (std::exchange(room_wanted_, false)) MakeRoom();
  } catch (const std::bad_alloc&) {
    ++counters_.failures;
  }
  return PublishDirty();
}

// A chunk may hold the end of one object and the start of the next.
void UnwindTables::BuildMissedOf(UnwindPublication& publication, UnwindView& view,
                                 const ProcessMemory& memory, UnwindBuildTools* tools) {
  publication.misses().TakeAll([&](uint64_t low) {
    view.ForEachIn(low, low + kUnwindChunkBytes, [&](UnwindEntry* entry) {
      const bool of_root = &view == &root_ || root_.Has(entry);
      Count(entry, entry->BuildChunk(low, clock_, of_root ? memory_ : memory, tools));
    });
  });
}

void UnwindTables::Count(const UnwindEntry* entry, UnwindEntry::Outcome outcome) {
  if (outcome == UnwindEntry::Outcome::kBuilt) {
    ++counters_.chunks_built;
    SetDirty(entry);
  } else if (outcome == UnwindEntry::Outcome::kNoRoom) {
    ++counters_.chunks_refused;
    room_wanted_ = true;
  } else if (outcome == UnwindEntry::Outcome::kFailed) {
    ++counters_.failures;
  }
}

// Drops the chunks that were unused longest, until a share of the arena is free. Their memory is
// free once no walker can be reading it, at one of the next calls; the walks that come then ask
// again.
void UnwindTables::MakeRoom() {
  using Chunks = std::map<uint64_t, UnwindEntry::Chunk>;
  struct Idle {
    UnwindEntry* entry;
    Chunks::iterator chunk;
  };
  std::vector<Idle> idle;
  CollectUse();
  for (const auto& entry : entries_) {
    Chunks& chunks = entry->chunks();
    for (auto chunk = chunks.begin(); chunk != chunks.end(); ++chunk) {
      if (chunk->second.last_used + kIdleClock < clock_) idle.push_back({entry.get(), chunk});
    }
  }
  std::sort(idle.begin(), idle.end(), [](const Idle& a, const Idle& b) {
    return a.chunk->second.last_used < b.chunk->second.last_used;
  });
  evicted_.reserve(evicted_.size() + idle.size());
  size_t freed = 0;
  for (const Idle& one : idle) {
    if (freed >= arena_.capacity() / kEvictedShare) break;
    const ArenaPiece piece = one.chunk->second.piece;
    freed += std::max(piece.size, kEmptyChunkBytes);
    evicted_.push_back(piece);
    SetDirty(one.entry);
    one.entry->chunks().erase(one.chunk);
    ++counters_.chunks_evicted;
  }
}

}  // namespace sonde
