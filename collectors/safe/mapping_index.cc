// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/mapping_index.h"

namespace sonde {
namespace {

constexpr int kMaxAttempts = 4;
constexpr int kLiveBits = 28;  // of a live name: index:20 | generation:8

// page of `low`:35 | live:28, and the number of pages; no pages: a free slot.
struct Words {
  uint64_t first = 0;
  uint64_t second = 0;

  // Async-signal-safe.
  static Words Of(const MappedPiece& piece) {
    if (piece.low >= piece.high) return {};
    const uint64_t live = uint64_t{piece.live.index} << 8 | (piece.live.generation & 0xff);
    return {piece.low / kMappingPageBytes << kLiveBits | live,
            (piece.high - piece.low) / kMappingPageBytes};
  }
  // Async-signal-safe.
  [[nodiscard]] MappedPiece piece() const {
    MappedPiece piece;
    piece.low = (first >> kLiveBits) * kMappingPageBytes;
    piece.high = piece.low + second * kMappingPageBytes;
    piece.live = {static_cast<uint32_t>(first >> 8) & (kMaxLive - 1),
                  static_cast<uint32_t>(first) & 0xff};
    return piece;
  }
};

// Async-signal-safe. The part of `piece` in [low, high).
MappedPiece PartIn(MappedPiece piece, uint64_t low, uint64_t high) {
  if (piece.low < low) piece.low = low;
  if (piece.high > high) piece.high = high;
  if (piece.low >= piece.high) piece.low = piece.high = 0;
  return piece;
}

}  // namespace

bool MappingIndex::Add(const MappedPiece& piece) {
  const Words words = Words::Of(piece);
  if (words.second == 0) return true;
  for (uint32_t slot = 0; slot < kMaxMappedPieces; ++slot) {
    SharedPair& at = pieces_[slot];
    if (at.second.Load() != 0 || !at.Cas(at.first.Load(), 0, words.first, words.second)) continue;
    // Whoever unmaps the piece learns of its addresses after this.
    for (uint32_t used = used_.Load(); used <= slot; used = used_.Load()) {
      if (used_.Cas(used, slot + 1)) break;
    }
    return true;
  }
  return false;
}

bool MappingIndex::Read(uint32_t slot, MappedPiece* piece) const {
  const Words words{pieces_[slot].first.Load(), pieces_[slot].second.Load()};
  *piece = words.piece();
  return words.second != 0 && pieces_[slot].first.Load() == words.first;
}

MappingIndex::Cuttings MappingIndex::Cut(uint32_t slot, uint64_t low, uint64_t high) {
  SharedPair& at = pieces_[slot];
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const Words old{at.first.Load(), at.second.Load()};
    if (old.second == 0) return {};
    const MappedPiece piece = old.piece();
    const MappedPiece removed = PartIn(piece, low, high);
    if (removed.low == removed.high) return {};
    MappedPiece rest = PartIn(piece, 0, removed.low);
    MappedPiece second_rest = PartIn(piece, removed.high, UINT64_MAX);
    if (rest.low == rest.high) rest = second_rest, second_rest = {};
    const Words kept = Words::Of(rest);
    if (!at.Cas(old.first, old.second, kept.first, kept.second)) continue;
    if (Add(second_rest)) second_rest = {};
    return {removed, second_rest};
  }
  return {};
}

void MappingIndex::Clear() {
  for (uint32_t slot = 0; slot < used_.Load(); ++slot) {
    SharedPair& at = pieces_[slot];
    static_cast<void>(at.Cas(at.first.Load(), at.second.Load(), 0, 0));
  }
}

}  // namespace sonde
