// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/stack_table.h"

namespace sonde {
namespace {

constexpr uint64_t kHashMask = (uint64_t{1} << 48) - 1;
constexpr int kMaxAttempts = 4;

// Async-signal-safe. Both halves of the 128-bit product.
uint64_t Multiply(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

struct Buckets {
  uint32_t first_slot[2];
};

// Async-signal-safe. The second differs from the first unless there is only one.
Buckets BucketsOf(const Region& region, uint64_t hash) {
  const uint32_t mask = region.counts.stacks / kBucketWays - 1;
  const uint32_t a = static_cast<uint32_t>(hash) & mask;
  const uint32_t b = a ^ ((static_cast<uint32_t>(hash >> 32) | 1) & mask);
  return {{a * kBucketWays, b * kBucketWays}};
}

// Async-signal-safe.
uint32_t ShapeOf(const StackContent& content) { return content.depth << 16 | content.flags; }

// Async-signal-safe. The body is read between two readings of the tag: equal tags mean that it
// belonged to it.
bool SlotHolds(const Region& region, uint32_t index, uint64_t tag, const StackContent& content) {
  const StackBody& body = region.stacks[index];
  if (body.shape.Load() != ShapeOf(content)) return false;
  if (!FramesEqual(region, body.chunk.Load(), content.frames, content.depth)) return false;
  return region.stack_tags[index].Load() == tag;
}

enum class Looked { kFound, kAbsent, kChanged };

// Async-signal-safe. A retiring stack that is found must be made live again before it may be used.
Looked LookAt(const Region& region, uint32_t index, const StackContent& content, uint64_t hash48,
              StackId* id) {
  const uint64_t word = region.stack_tags[index].Load();
  const StackTag tag = StackTag::Of(word);
  const bool usable = tag.state == StackState::kLive || tag.state == StackState::kRetiring;
  if (!usable || tag.hash != hash48 || !SlotHolds(region, index, word, content)) {
    return Looked::kAbsent;
  }
  if (tag.state == StackState::kRetiring) {
    const StackTag live{StackState::kLive, tag.generation, tag.hash};
    if (!region.stack_tags[index].Cas(word, live.word())) return Looked::kChanged;
  }
  *id = {index, tag.generation};
  return Looked::kFound;
}

// Async-signal-safe.
Looked Find(const Region& region, const StackContent& content, const Buckets& buckets,
            uint64_t hash48, StackId* id) {
  Looked result = Looked::kAbsent;
  for (const uint32_t first : buckets.first_slot) {
    for (uint32_t i = 0; i < kBucketWays; ++i) {
      const Looked looked = LookAt(region, first + i, content, hash48, id);
      if (looked == Looked::kFound) return looked;
      if (looked == Looked::kChanged) result = looked;
    }
  }
  return result;
}

// Async-signal-safe. A free slot of the emptier bucket; false: both are full.
bool FindFree(const Region& region, const Buckets& buckets, uint32_t* index, uint64_t* tag) {
  uint32_t most_free = 0;
  for (const uint32_t first : buckets.first_slot) {
    uint32_t free = 0;
    uint32_t at = 0;
    uint64_t at_tag = 0;
    for (uint32_t i = 0; i < kBucketWays; ++i) {
      const uint64_t word = region.stack_tags[first + i].Load();
      if (StackTag::Of(word).state != StackState::kFree) continue;
      if (free++ == 0) at = first + i, at_tag = word;
    }
    if (free > most_free) most_free = free, *index = at, *tag = at_tag;
  }
  return most_free > 0;
}

// Async-signal-safe. The slot is ours (writing): give it its content and let it be seen.
DropReason FillSlot(const Region& region, uint32_t index, const StackContent& content,
                    const StackTag& writing, uint64_t hash48) {
  const uint32_t chunk = StoreFrames(region, index, content.frames, content.depth);
  const StackTag freed{StackState::kFree, writing.generation, 0};
  const StackTag live{StackState::kLive, writing.generation, hash48};
  Shared<uint64_t>& tag = region.stack_tags[index];
  if (chunk == kNoChunk) {
    return tag.Cas(writing.word(), freed.word()) ? DropReason::kFramesFull : DropReason::kContended;
  }
  region.stacks[index].chunk.Store(chunk);
  region.stacks[index].shape.Store(ShapeOf(content));
  return tag.Cas(writing.word(), live.word()) ? DropReason::kNone : DropReason::kContended;
}

// Async-signal-safe. Whether the chain of `index` passes through `chunk`.
bool ChainHas(const Region& region, uint32_t index, uint32_t chunk) {
  const StackBody& body = region.stacks[index];
  uint64_t at = body.chunk.Load();
  const uint32_t depth = body.shape.Load() >> 16;
  for (uint32_t i = 0; i < depth && at < region.counts.chunks; i += kFramesPerChunk) {
    if (at == chunk) return true;
    at = region.chunks[at].next.Load();
  }
  return false;
}

// Async-signal-safe. Nobody but the slot's own writer claims a chunk for it, and a chain is not
// changed within a generation: so what the slot does not reach, and is not writing, nobody will
// reach.
bool ChunkIsLeaked(const Region& region, uint32_t chunk, uint32_t owner) {
  if (owner == 0) return false;
  if (owner > region.counts.stacks) return true;
  const StackState state = ReadStackTag(region, owner - 1).state;
  if (state == StackState::kWriting) return false;
  return state == StackState::kFree || !ChainHas(region, owner - 1, chunk);
}

}  // namespace

// Async-signal-safe.
StackTag StackTag::Of(uint64_t word) {
  return {static_cast<StackState>(word >> 62),
          static_cast<uint32_t>(word >> 48) & kStackGenerationMask, word & kHashMask};
}

// Async-signal-safe.
uint64_t StackTag::word() const {
  return static_cast<uint64_t>(state) << 62 |
         static_cast<uint64_t>(generation & kStackGenerationMask) << 48 | (hash & kHashMask);
}

uint64_t HashStack(const StackContent& content) {
  constexpr uint64_t kOdd[3] = {0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9};
  uint64_t a = kOdd[0] ^ ShapeOf(content);
  uint64_t b = kOdd[1];
  uint32_t i = 0;
  for (; i + 4 <= content.depth; i += 4) {
    a = Multiply(a ^ content.frames[i], kOdd[1] ^ content.frames[i + 1]);
    b = Multiply(b ^ content.frames[i + 2], kOdd[2] ^ content.frames[i + 3]);
  }
  for (; i < content.depth; ++i) a = Multiply(a ^ content.frames[i], kOdd[2]) + kOdd[0];
  return Multiply(a ^ kOdd[2], b ^ kOdd[0]);
}

DropReason FindOrInsertStack(const Region& region, const StackContent& content, uint64_t hash,
                             uint64_t writer, StackId* id) {
  const Buckets buckets = BucketsOf(region, hash);
  const uint64_t hash48 = hash >> 16;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const Looked looked = Find(region, content, buckets, hash48, id);
    if (looked == Looked::kFound) return DropReason::kNone;
    if (looked == Looked::kChanged) continue;
    uint32_t index = 0;
    uint64_t word = 0;
    if (!FindFree(region, buckets, &index, &word)) return DropReason::kStackTableFull;
    const StackTag writing{StackState::kWriting, StackTag::Of(word).generation, writer};
    if (!region.stack_tags[index].Cas(word, writing.word())) continue;
    *id = {index, writing.generation};
    return FillSlot(region, index, content, writing, hash48);
  }
  return DropReason::kContended;
}

uint32_t ReadStack(const Region& region, StackId id, uint64_t* frames, uint16_t* flags) {
  if (id.index >= region.counts.stacks) return 0;
  const uint64_t word = region.stack_tags[id.index].Load();
  const StackTag tag = StackTag::Of(word);
  const bool usable = tag.state == StackState::kLive || tag.state == StackState::kRetiring;
  if (!usable || tag.generation != id.generation) return 0;
  const StackBody& body = region.stacks[id.index];
  const uint32_t shape = body.shape.Load();
  const uint32_t depth = shape >> 16;
  if (depth > kMaxDepth) return 0;
  const uint32_t loaded = LoadFrames(region, body.chunk.Load(), depth, frames);
  *flags = static_cast<uint16_t>(shape);
  const StackTag after = ReadStackTag(region, id.index);
  const bool same = after.generation == tag.generation && after.hash == tag.hash;
  return same && loaded == depth ? depth : 0;
}

StackTag ReadStackTag(const Region& region, uint32_t index) {
  return StackTag::Of(region.stack_tags[index].Load());
}

bool RetireStack(const Region& region, uint32_t index) {
  const uint64_t word = region.stack_tags[index].Load();
  StackTag tag = StackTag::Of(word);
  if (tag.state != StackState::kLive) return false;
  tag.state = StackState::kRetiring;
  return region.stack_tags[index].Cas(word, tag.word());
}

bool ReviveStack(const Region& region, uint32_t index) {
  const uint64_t word = region.stack_tags[index].Load();
  StackTag tag = StackTag::Of(word);
  if (tag.state != StackState::kRetiring) return false;
  tag.state = StackState::kLive;
  return region.stack_tags[index].Cas(word, tag.word());
}

bool FreeStack(const Region& region, uint32_t index) {
  const uint64_t word = region.stack_tags[index].Load();
  const StackTag tag = StackTag::Of(word);
  if (tag.state != StackState::kRetiring) return false;
  const uint32_t chunk = region.stacks[index].chunk.Load();
  const uint32_t depth = region.stacks[index].shape.Load() >> 16;
  const StackTag freed{StackState::kFree, tag.generation + 1, 0};
  if (!region.stack_tags[index].Cas(word, freed.word())) return false;
  FreeFrames(region, index, chunk, depth);
  return true;
}

bool ReclaimWriting(const Region& region, uint32_t index) {
  const uint64_t word = region.stack_tags[index].Load();
  const StackTag tag = StackTag::Of(word);
  if (tag.state != StackState::kWriting) return false;
  FreeFramesOf(region, index);
  const StackTag freed{StackState::kFree, tag.generation + 1, 0};
  return region.stack_tags[index].Cas(word, freed.word());
}

uint32_t ReclaimLeakedChunks(const Region& region) {
  uint32_t leaked = 0;
  for (uint32_t i = 0; i < region.counts.chunks; ++i) {
    const uint32_t owner = region.chunk_owners[i].Load();
    if (!ChunkIsLeaked(region, i, owner)) continue;
    leaked += region.chunk_owners[i].Cas(owner, 0);
  }
  return leaked;
}

}  // namespace sonde
