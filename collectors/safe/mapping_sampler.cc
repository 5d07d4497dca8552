// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/mapping_sampler.h"

#include "collectors/safe/live_table.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

// Malloc-safe: may not allocate or block.
int64_t BytesOf(const MappedPiece& piece) { return static_cast<int64_t>(piece.high - piece.low); }

// Malloc-safe: may not allocate or block.
void End(const MappedPiece& piece) {
  if (piece.low < piece.high) {
    ResizeLive(CurrentHeapSetup().region, piece.live, -BytesOf(piece));
  }
}

// Malloc-safe: may not allocate or block. What it holds is no longer known, though it is there.
void Lose(const MappedPiece& piece) {
  if (piece.low >= piece.high) return;
  End(piece);
  CountDrop(CurrentHeapSetup().region, Kind::kLive, DropReason::kLiveTableFull, 1,
            static_cast<uint64_t>(BytesOf(piece)));
}

// Malloc-safe: may not allocate or block.
void AddOrLose(const MappedPiece& piece) {
  if (!g_heap.mappings.Add(piece)) Lose(piece);
}

// Malloc-safe: may not allocate or block. The piece is where it was moved to, without what was cut
// off at its end.
MappedPiece Moved(const MappedPiece& piece, const MappingMove& move) {
  const uint64_t low = piece.low - move.from;
  const uint64_t high = piece.high - move.from;
  if (low >= move.new_bytes) return {0, 0, piece.live};
  return {move.to + low, move.to + (high < move.new_bytes ? high : move.new_bytes), piece.live};
}

// Malloc-safe: may not allocate or block.
void Grow(const MappedPiece& piece, uint64_t bytes) {
  LiveBlock block;
  const Region& region = CurrentHeapSetup().region;
  if (!ReadLiveNamed(region, piece.live, &block)) return;
  if (ResizeLive(region, piece.live, static_cast<int64_t>(bytes))) RecordGrowth(block, bytes);
}

// Async-signal-safe.
bool IsMapped(uint64_t page) {
  constexpr long kNotMapped = -12;  // ENOMEM
  unsigned char in_memory = 0;
  return sys::Call(SYS_mincore, page, kMappingPageBytes, &in_memory) != kNotMapped;
}

}  // namespace

void HoldMappings(uint64_t low, uint64_t high, HeldMappings* held) {
  if (low % kMappingPageBytes != 0 || high <= low) return;  // the call will fail, or does nothing
  const uint32_t used = g_heap.mappings.used();
  for (uint32_t slot = 0; slot < used; ++slot) {
    const MappingIndex::Cuttings cut = g_heap.mappings.Cut(slot, low, high);
    Lose(cut.lost);
    if (cut.removed.low == cut.removed.high) continue;
    if (held->count < HeldMappings::kMost) {
      held->pieces[held->count++] = cut.removed;
    } else {
      End(cut.removed);
    }
  }
}

void ReleaseMappings(const HeldMappings& held, bool gone) {
  for (uint32_t i = 0; i < held.count; ++i) {
    if (gone) {
      End(held.pieces[i]);
    } else {
      AddOrLose(held.pieces[i]);
    }
  }
}

void ForgetMappings(uint64_t low, uint64_t high) {
  HeldMappings held;
  HoldMappings(low, high, &held);
  ReleaseMappings(held, /*gone=*/true);
}

void MoveMappings(const HeldMappings& held, const MappingMove& move) {
  for (uint32_t i = 0; i < held.count; ++i) {
    const MappedPiece& old = held.pieces[i];
    MappedPiece now = Moved(old, move);
    const int64_t shrunk = BytesOf(old) - BytesOf(now);
    if (shrunk > 0) ResizeLive(CurrentHeapSetup().region, old.live, -shrunk);
    const bool is_last = old.high == move.from + move.old_bytes;
    if (is_last && move.new_bytes > move.old_bytes) {
      Grow(old, move.new_bytes - move.old_bytes);
      now.high = move.to + move.new_bytes;
    }
    AddOrLose(now);
  }
}

void ForgetUnmapped() {
  for (uint32_t slot = 0; slot < g_heap.mappings.used(); ++slot) {
    MappedPiece piece;
    if (!g_heap.mappings.Read(slot, &piece)) continue;
    if (IsMapped(piece.low) && IsMapped(piece.high - kMappingPageBytes)) continue;
    ForgetMappings(piece.low, piece.high);
  }
}

}  // namespace sonde
