// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_entry.h"

#include <algorithm>
#include <new>

namespace sonde {

bool UnwindEntry::CanBeInChunks() const { return object_.functions != 0; }

void UnwindEntry::Build(UnwindBuildTools& tools) {
  coverage_ = UnwindCoverage::kNoUnwindData;
  if (object_.eh_frame == 0) return;
  const uint64_t text_size = object_.text_high - object_.text_low;
  const uint32_t most = object_.is_program ? kMaxFunctionsOfWhole : kMaxFunctionsOfLibrary;
  const bool big = object_.functions > most || text_size > kMaxTextOfWhole;
  if (big && CanBeInChunks()) {
    coverage_ = UnwindCoverage::kOnDemand;
  } else if (text_size <= UINT32_MAX) {
    BuildWhole(tools);
  }
}

void UnwindEntry::BuildWhole(UnwindBuildTools& tools) {
  EhFrameSection section;
  UnwindBlock block;
  coverage_ = UnwindCoverage::kUnreadable;
  if (!CopyEhFrame(tools.memory, object_, &tools.section_memory, &section)) return;
  if (!tools.builder.Build(section, object_.text_low, object_.text_high, &block)) {
    throw std::bad_alloc();
  }
  coverage_ = UnwindCoverage::kNoUnwindData;
  if (block.counts.functions == 0) return;
  needed_bytes_ = block.bytes;
  if (block.bytes <= tools.whole_bytes_left) piece_ = tools.arena.Allocate(block.bytes);
  coverage_ = CanBeInChunks() ? UnwindCoverage::kOnDemand : UnwindCoverage::kOverBudget;
  if (piece_.data == nullptr) return;
  tools.whole_bytes_left -= block.bytes;
  whole_ = block.CopyTo(piece_.data);
  counts_ = block.counts;
  coverage_ = UnwindCoverage::kCovered;
}

UnwindEntry::Outcome UnwindEntry::BuildChunk(uint64_t pc, uint64_t now, const ProcessMemory& memory,
                                             UnwindBuildTools* tools) {
  const uint64_t number = pc >> kUnwindChunkShift;
  const uint64_t low = std::max(number << kUnwindChunkShift, object_.text_low);
  const uint64_t high = std::min((number + 1) << kUnwindChunkShift, object_.text_high);
  if (coverage_ != UnwindCoverage::kOnDemand || low >= high) return Outcome::kNotHere;
  if (chunks_.contains(number)) return Outcome::kThere;
  PartialSection section(memory, object_);
  UnwindBlock& block = tools->block;
  const auto outcome = section.Build(low, high, tools->builder, &block);
  if (outcome == PartialSection::Outcome::kNoMemory) throw std::bad_alloc();
  if (outcome == PartialSection::Outcome::kUnreadable) return Outcome::kFailed;
  Chunk chunk;
  chunk.table.low = low;
  chunk.table.high = high;
  chunk.last_used = now;
  if (block.counts.functions != 0) {
    const size_t free = tools->arena.capacity() - tools->arena.used();
    const bool fits = free >= block.bytes + tools->reserve && tools->chunks_left != 0;
    if (fits) chunk.piece = tools->arena.Allocate(block.bytes);
    if (chunk.piece.data == nullptr) return Outcome::kNoRoom;
    chunk.table = block.CopyTo(chunk.piece.data);
  } else if (tools->chunks_left == 0) {
    return Outcome::kNoRoom;
  }
  try {
    chunks_.emplace(number, chunk);
  } catch (const std::bad_alloc&) {
    tools->arena.Free(chunk.piece);
    throw;
  }
  --tools->chunks_left;
  return Outcome::kBuilt;
}

// A stretch without chunks is one range: walkers that come there ask for what they need.
void UnwindEntry::AppendRanges(std::vector<UnwindModule>* ranges) const {
  UnwindModule range{whole_};
  uint64_t low = object_.text_low;
  range.on_demand = coverage_ == UnwindCoverage::kOnDemand;
  range.is_go = object_.is_go;
  for (const auto& [number, chunk] : chunks_) {
    if (low < chunk.table.low) {
      range.low = low;
      range.high = chunk.table.low;
      ranges->push_back(range);
    }
    ranges->push_back(UnwindModule{chunk.table});
    ranges->back().is_go = object_.is_go;
    low = chunk.table.high;
  }
  if (low == object_.text_high) return;
  range.low = low;
  range.high = object_.text_high;
  ranges->push_back(range);
}

size_t UnwindEntry::bytes() const {
  size_t bytes = 0;
  ForEachPiece([&](const ArenaPiece& piece) { bytes += piece.size; });
  return bytes;
}

}  // namespace sonde
