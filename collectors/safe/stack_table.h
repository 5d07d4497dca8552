// SPDX-License-Identifier: Apache-2.0
// Which stacks there are. Set-associative: a stack may lie in any slot of two buckets that its hash
// names, so nothing moves and nothing is left behind when one goes. Handlers find and insert; only
// the cold side retires and frees.
//
//   free ──CAS──► writing ──CAS──► live ──CAS──► retiring ──CAS──► free, generation + 1
//    ▲               │               ▲               │
//    └── no chunk ───┘               └── found again ┘
//
// Thread-safety: lock-free, bounded. Memory: counts.stacks × 24 bytes, and the frames
// (frame_store.h).
#pragma once

#include <stdint.h>

#include "collectors/safe/frame_store.h"
#include "collectors/safe/region.h"

namespace sonde {

// Names a stack for as long as the generation is the slot's.
struct StackId {
  uint32_t index = 0;
  uint32_t generation = 0;  // 14 bits
  bool operator==(const StackId&) const = default;
};
inline constexpr StackId kNoStack{UINT32_MAX, UINT32_MAX};

enum class StackState : uint8_t { kFree = 0, kWriting = 1, kLive = 2, kRetiring = 3 };

// state:2 | generation:14 | hash:48. While writing, the hash is that of nobody: it holds the
// writer.
struct StackTag {
  StackState state;
  uint32_t generation;
  uint64_t hash;

  static StackTag Of(uint64_t word);
  uint64_t word() const;
};

// Async-signal-safe. Of the word of a tag, for walks over the whole table.
constexpr bool IsFreeStackTag(uint64_t word) { return word >> 62 == 0; }

inline constexpr uint32_t kStackGenerationMask = (1u << 14) - 1;

// Async-signal-safe. 64 bits; the table keeps the upper 48 of them.
uint64_t HashStack(const StackContent& content);

// Async-signal-safe. The id of this content, inserted if new. kNone and *id on success. `writer`
// (48 bits) is who to ask about if the slot stays in writing: see ReclaimWriting.
[[nodiscard]] DropReason FindOrInsertStack(const Region& region, const StackContent& content,
                                           uint64_t hash, uint64_t writer, StackId* id);

// Async-signal-safe. Copies a stack out, at most kMaxDepth frames. 0: the id's stack is gone.
uint32_t ReadStack(const Region& region, StackId id, uint64_t* frames, uint16_t* flags);

// Async-signal-safe.
StackTag ReadStackTag(const Region& region, uint32_t index);

// Cold path only. live → retiring. False: it changed meanwhile, leave it.
bool RetireStack(const Region& region, uint32_t index);

// Cold path only. retiring → live, for a stack that is counted on again.
bool ReviveStack(const Region& region, uint32_t index);

// Cold path only. retiring → free; its chunks are free after it. False: a handler found it again.
bool FreeStack(const Region& region, uint32_t index);

// Cold path only. writing → free, when `writer` of the tag is dead for certain: what is dead never
// wakes up to write frames into a chunk that is somebody else's by then.
bool ReclaimWriting(const Region& region, uint32_t index);

// Cold path only. Frees chunks that nobody has: their owner slot is free or has another chain. They
// come from a cold side that was killed while it freed a stack. Returns how many.
uint32_t ReclaimLeakedChunks(const Region& region);

}  // namespace sonde
