// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/frame_store.h"

namespace sonde {
namespace {

// How far a writer looks before it gives up: bounds the time in a handler to about a microsecond.
constexpr uint32_t kMaxProbes = 1024;

// Async-signal-safe.
uint32_t ChunksFor(uint32_t depth) { return (depth + kFramesPerChunk - 1) / kFramesPerChunk; }

// Async-signal-safe. The cursor is only a hint: whoever moves it wrongly costs probes, nothing
// else.
uint32_t ClaimChunk(const Region& region, uint32_t slot) {
  const uint32_t count = region.counts.chunks;
  const uint32_t start = region.header->chunk_cursor.Load() % count;
  const uint32_t probes = count < kMaxProbes ? count : kMaxProbes;
  uint32_t at = start;
  uint32_t found = kNoChunk;
  for (uint32_t i = 0; i < probes && found == kNoChunk; ++i) {
    Shared<uint32_t>& owner = region.chunk_owners[at];
    if (owner.Load() == 0 && owner.Cas(0, slot + 1)) found = at;
    at = at + 1 == count ? 0 : at + 1;
  }
  region.header->chunk_cursor.Store(at);
  return found;
}

// Async-signal-safe.
void FillChunk(FrameChunk& chunk, const uint64_t* frames, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) chunk.frames[i].Store(frames[i]);
}

// Async-signal-safe.
uint32_t NextChunk(const Region& region, uint32_t chunk) {
  const uint64_t next = region.chunks[chunk].next.Load();
  return next < region.counts.chunks ? static_cast<uint32_t>(next) : kNoChunk;
}

// Async-signal-safe.
void ReleaseChunk(const Region& region, uint32_t slot, uint32_t chunk) {
  // Fails only if the chunk is not ours, then it is not ours to free.
  static_cast<void>(region.chunk_owners[chunk].Cas(slot + 1, 0));
}

// Async-signal-safe.
void ReleaseChain(const Region& region, uint32_t slot, uint32_t first, uint32_t chunks) {
  uint32_t chunk = first;
  for (uint32_t i = 0; i < chunks && chunk < region.counts.chunks; ++i) {
    const uint32_t next = NextChunk(region, chunk);
    ReleaseChunk(region, slot, chunk);
    chunk = next;
  }
}

}  // namespace

uint32_t StoreFrames(const Region& region, uint32_t slot, const uint64_t* frames, uint32_t depth) {
  uint32_t first = kNoChunk;
  uint32_t last = kNoChunk;
  const uint32_t chunks = ChunksFor(depth);
  for (uint32_t i = 0; i < chunks; ++i) {
    const uint32_t chunk = ClaimChunk(region, slot);
    if (chunk == kNoChunk) {
      ReleaseChain(region, slot, first, i);
      return kNoChunk;
    }
    const uint32_t at = i * kFramesPerChunk;
    FillChunk(region.chunks[chunk], frames + at,
              depth - at < kFramesPerChunk ? depth - at : kFramesPerChunk);
    if (last == kNoChunk) {
      first = chunk;
    } else {
      region.chunks[last].next.Store(chunk);
    }
    last = chunk;
  }
  return first;
}

bool FramesEqual(const Region& region, uint32_t first_chunk, const uint64_t* frames,
                 uint32_t depth) {
  uint32_t chunk = first_chunk;
  for (uint32_t at = 0; at < depth; at += kFramesPerChunk) {
    if (chunk >= region.counts.chunks) return false;
    const FrameChunk& stored = region.chunks[chunk];
    const uint32_t count = depth - at < kFramesPerChunk ? depth - at : kFramesPerChunk;
    for (uint32_t i = 0; i < count; ++i) {
      if (stored.frames[i].Load() != frames[at + i]) return false;
    }
    if (at + kFramesPerChunk < depth) chunk = NextChunk(region, chunk);
  }
  return true;
}

uint32_t LoadFrames(const Region& region, uint32_t first_chunk, uint32_t depth, uint64_t* frames) {
  uint32_t chunk = first_chunk;
  for (uint32_t i = 0; i < depth; ++i) {
    if (i != 0 && i % kFramesPerChunk == 0) chunk = NextChunk(region, chunk);
    if (chunk >= region.counts.chunks) return i;
    frames[i] = region.chunks[chunk].frames[i % kFramesPerChunk].Load();
  }
  return depth;
}

void FreeFrames(const Region& region, uint32_t slot, uint32_t first_chunk, uint32_t depth) {
  ReleaseChain(region, slot, first_chunk, ChunksFor(depth));
  // Low chunks first: a small profile stays on few pages.
  if (first_chunk < region.header->chunk_cursor.Load()) {
    region.header->chunk_cursor.Store(first_chunk);
  }
}

void FreeFramesOf(const Region& region, uint32_t slot) {
  for (uint32_t i = 0; i < region.counts.chunks; ++i) {
    if (region.chunk_owners[i].Load() == slot + 1) ReleaseChunk(region, slot, i);
  }
}

uint32_t CountUsedChunks(const Region& region) {
  uint32_t used = 0;
  for (uint32_t i = 0; i < region.counts.chunks; ++i) used += region.chunk_owners[i].Load() != 0;
  return used;
}

}  // namespace sonde
