// SPDX-License-Identifier: Apache-2.0
// Which sampled blocks are live: (process, address) → stack, size, birth, thread. Set-associative
// as the stack table: nothing moves, and nothing is left behind when a block goes.
//
//   free ──CAS──► writing ──CAS──► live ──CAS──► free, generation + 1      malloc … free
//                                   │ ▲
//                                  CAS CAS                                 while realloc decides
//                                   ▼ │
//                                  held ──CAS──► free, generation + 1
//
// Called by the allocation hooks (insert, take, hold) and by the cold side (read, forget). The
// order "recorded before malloc returns, taken before the real free begins" is the caller's; with
// it a key that a free looks for is there, and one address is never live twice in one process. The
// stack of an entry stays in the stack table because the fold marks the stacks of all entries as
// used (fold.cc); an entry whose stack has gone all the same names a generation that is no more.
//
// Most of the table is free, always. So that the cold side need not look at every slot each second,
// the header has a bit for each group of slots (region_layout.h): a writer that has taken a slot
// sets the bit of its group if it is not set; the cold side clears it when it finds the group
// empty, and looks once more. Whichever of the two comes second sees the other. A writer that is
// killed between slot and bit leaves a slot in writing that shows when its group is used again.
//
// A table that fills up is thinned: a block that was drawn at a mean interval of I bytes stays with
// the probability that it had been drawn at 2 I, given that it was at I, and says 2 I from then on.
// So every block has the right weight whenever it is read (Horvitz and Thompson 1952: one over the
// probability of being there), and what is thinned when does not matter as long as it is not chosen
// by what the draw would say. The draw is a hash of the entry and I: whoever thins an entry comes
// to the same result, so two at once thin it once. Mappings are not thinned: they are few.
//
// A mapping (Kind::kMmap) has a made-up address, since it may shrink and move: where it began, plus
// a few bytes that tell it from others that began there. mapping_index.h knows where its pages are.
//
// A block that was freed without us (RTLD_DEEPBIND, __libc_free) stays until its address is freed
// or sampled again through us. Thread-safety: lock-free, bounded. Memory: counts.live × 32 bytes.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"

namespace sonde {

inline constexpr uint64_t kMaxLiveAddress = uint64_t{1} << 47;
inline constexpr uint64_t kLiveTicksPerSecond = 100;  // of LiveBlock::birth

struct LiveBlock {
  uint64_t address = 0;  // a multiple of 8 below kMaxLiveAddress
  uint32_t process_slot = 0;
  StackId stack;
  uint32_t tid = 0;
  Kind kind = Kind::kNone;  // kAlloc or kMmap
  uint64_t size = 0;        // as asked for; of a mapping, what is left of it, in whole pages
  uint64_t born_size = 0;   // what the sample's weight comes from; written by AddLive from `size`
  uint32_t birth = 0;       // in ticks since the region was made
  uint32_t interval = 0;    // mean bytes between samples when it was chosen
};

inline constexpr uint32_t kNoLive = UINT32_MAX;

// Async-signal-safe. Of the word of a key, for walks over the whole table.
constexpr bool IsFreeLiveKey(uint64_t word) { return word >> 62 == 0; }

// An entry, until it is freed.
struct LiveName {
  uint32_t index = kNoLive;
  uint32_t generation = 0;
};

// Malloc-safe: may not allocate or block. kNone: the block is in the table. `replaced` says that
// its address was there already: that one was freed without us.
[[nodiscard]] DropReason AddLive(const Region& region, const LiveBlock& block, bool* replaced,
                                 LiveName* name = nullptr);

inline constexpr uint32_t kMaxThinnedInterval = uint32_t{1} << 30;

enum class Thinned : uint8_t { kNot, kStays, kGone };

// Malloc-safe: may not allocate or block. Thins the block at `index` by one doubling; it is told if
// it was there. kNot: nothing there to be thinned, or it changed meanwhile.
Thinned ThinLive(const Region& region, uint32_t index, LiveBlock* block);

// Malloc-safe: may not allocate or block. After AddLive found no room for `wanted`: thins blocks
// where it would go, those with the smallest interval first, until one is gone, which it tells.
// False: a bounded number of attempts did not help.
[[nodiscard]] bool MakeRoomForLive(const Region& region, const LiveBlock& wanted, LiveBlock* gone);

// Malloc-safe: may not allocate or block. True: the block was in the table and is not any more.
bool TakeLive(const Region& region, uint32_t process_slot, uint64_t address);

// Malloc-safe: may not allocate or block. Keeps the entry while its address may already be
// somebody else's: nobody finds it, readers still count it. Its index, or kNoLive.
uint32_t HoldLive(const Region& region, uint32_t process_slot, uint64_t address);

// Malloc-safe: may not allocate or block. Ends a hold: the block is gone, or still there.
void ReleaseLive(const Region& region, uint32_t index, bool gone);

// Malloc-safe: may not allocate or block. Of a mapping, some pages come or go; without any left the
// entry goes, too. False: it is no more.
bool ResizeLive(const Region& region, LiveName name, int64_t by_bytes);

// Cold path only. The entry gets another stack, if it still has `from`. False: it is no more.
bool RestackLive(const Region& region, LiveName name, StackId from, StackId to);

// Async-signal-safe. False: it is no more.
bool ReadLiveNamed(const Region& region, LiveName name, LiveBlock* block);

// Async-signal-safe. What lies at `index`; false: nothing, or it changed meanwhile. `word` is for
// ForgetLive.
bool ReadLive(const Region& region, uint32_t index, LiveBlock* block, uint64_t* word);

// Async-signal-safe. Whether the entry is taken, and by which process; cheaper than ReadLive, and
// tells of half-written entries too.
bool LiveOwner(const Region& region, uint32_t index, uint32_t* process_slot, StackId* stack,
               uint64_t* word);

// Slots [first, last).
struct LiveSlots {
  uint32_t first = 0;
  uint32_t last = 0;
};

// Async-signal-safe. The next group at or behind slot `from` that may hold blocks; empty: none.
LiveSlots NextLiveGroup(const Region& region, uint32_t from);

// Cold path only. For a group in which no slot is taken. The caller looks at it once more, and
// takes it back by KeepLiveGroup if there is something after all.
void DropLiveGroup(const Region& region, uint32_t first_slot);

// Async-signal-safe.
void KeepLiveGroup(const Region& region, uint32_t slot);

// Cold path only. Of a cold side that was killed it is not known what it had dropped: all groups
// are looked at again.
void KeepAllLiveGroups(const Region& region);

// Cold path only. Frees the entry if it still is what `word` says.
bool ForgetLive(const Region& region, uint32_t index, uint64_t word);

}  // namespace sonde
