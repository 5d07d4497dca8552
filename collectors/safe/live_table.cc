// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/live_table.h"

#include "collectors/safe/heap_math.h"

namespace sonde {
namespace {

enum class LiveState : uint8_t { kFree = 0, kWriting = 1, kLive = 2, kHeld = 3 };
static_assert(IsFreeLiveKey(uint64_t{static_cast<uint8_t>(LiveState::kFree)} << 62));

constexpr int kMaxAttempts = 4;
constexpr int kMaxResizeAttempts = 64;  // giving up would leave pages that are gone
constexpr int kMaxThinnings = 256;  // to make room for one: 16 doublings of all that it may replace
constexpr int kAddressBits = 44;    // of address / 8
constexpr uint64_t kAddressMask = (uint64_t{1} << kAddressBits) - 1;
constexpr uint64_t kProcessMask = kMaxProcesses - 1;

// state:2 | generation:8 | process:10 | address / 8:44
struct LiveKey {
  LiveState state;
  uint32_t generation;
  uint32_t process_slot;
  uint64_t address;

  // Async-signal-safe.
  static LiveKey Of(uint64_t word) {
    return {static_cast<LiveState>(word >> 62), static_cast<uint32_t>(word >> 54) & 0xff,
            static_cast<uint32_t>(word >> kAddressBits & kProcessMask), (word & kAddressMask) * 8};
  }
  // Async-signal-safe.
  uint64_t word() const {
    return static_cast<uint64_t>(state) << 62 | uint64_t{generation & 0xff} << 54 |
           (process_slot & kProcessMask) << kAddressBits | (address / 8 & kAddressMask);
  }
};

struct Buckets {
  uint32_t first_slot[2];
};

// Async-signal-safe. The second differs from the first unless there is only one.
Buckets BucketsOf(const Region& region, uint32_t process_slot, uint64_t address) {
  const uint64_t name = uint64_t{process_slot} << kAddressBits | address / 8;
  const uint64_t hash = name * 0x9e3779b97f4a7c15;
  const uint32_t mask = region.counts.live / kBucketWays - 1;
  const uint32_t a = static_cast<uint32_t>(hash >> 40) & mask;
  const uint32_t b = a ^ ((static_cast<uint32_t>(hash >> 20) | 1) & mask);
  return {{a * kBucketWays, b * kBucketWays}};
}

// Async-signal-safe. The slot in which this block is live, and its word.
uint32_t FindLive(const Region& region, const Buckets& buckets, uint32_t process_slot,
                  uint64_t address, uint64_t* word) {
  constexpr uint64_t kAnyGeneration = ~(uint64_t{0xff} << 54);
  const uint64_t wanted = LiveKey{LiveState::kLive, 0, process_slot, address}.word();
  for (const uint32_t first : buckets.first_slot) {
    for (uint32_t i = first; i < first + kBucketWays; ++i) {
      *word = region.live_keys[i].Load();
      if ((*word & kAnyGeneration) == wanted) return i;
    }
  }
  return kNoLive;
}

// Async-signal-safe. A free slot of the emptier bucket.
uint32_t FindFree(const Region& region, const Buckets& buckets, uint64_t* word) {
  uint32_t most_free = 0;
  uint32_t index = kNoLive;
  for (const uint32_t first : buckets.first_slot) {
    uint32_t free = 0;
    uint32_t at = kNoLive;
    uint64_t at_word = 0;
    for (uint32_t i = first; i < first + kBucketWays; ++i) {
      const uint64_t key = region.live_keys[i].Load();
      if (LiveKey::Of(key).state != LiveState::kFree) continue;
      if (free++ == 0) at = i, at_word = key;
    }
    if (free > most_free) most_free = free, index = at, *word = at_word;
  }
  return index;
}

// The word `size` of a mapping: pages at birth:28 (as many as fit) | pages left:36. In one word, so
// that no reader sees one without the other.
struct MappedPages {
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint64_t kMostAtBirth = (uint64_t{1} << 28) - 1;
  static constexpr uint64_t kLeftMask = (uint64_t{1} << 36) - 1;
  uint64_t at_birth;
  uint64_t left;

  // Async-signal-safe.
  static MappedPages Of(uint64_t word) { return {word >> 36, word & kLeftMask}; }
  // Async-signal-safe.
  static MappedPages OfBytes(uint64_t bytes) {
    const uint64_t pages = bytes / kPageBytes + (bytes % kPageBytes != 0);
    return {pages < kMostAtBirth ? pages : kMostAtBirth, pages & kLeftMask};
  }
  // Async-signal-safe.
  [[nodiscard]] uint64_t word() const { return at_birth << 36 | left; }
};

// Async-signal-safe.
uint64_t OwnerWith(StackId stack, uint64_t owner) {
  constexpr uint64_t kOthers = (uint64_t{1} << 26) - 1;
  return uint64_t{stack.index} << 40 | uint64_t{stack.generation & kStackGenerationMask} << 26 |
         (owner & kOthers);
}

// Async-signal-safe. The slot is ours (writing): give it its content and let it be seen.
DropReason FillSlot(const Region& region, uint32_t index, const LiveBlock& block, LiveKey writing) {
  LiveBody& body = region.live[index];
  const uint64_t tid_and_kind =
      uint64_t{block.tid & ((1u << 22) - 1)} << 4 | static_cast<uint64_t>(block.kind);
  body.owner.Store(OwnerWith(block.stack, tid_and_kind));
  body.size.Store(block.kind == Kind::kMmap ? MappedPages::OfBytes(block.size).word() : block.size);
  body.birth.Store(uint64_t{block.birth} << 32 | block.interval);
  LiveKey live = writing;
  live.state = LiveState::kLive;
  const bool done = region.live_keys[index].Cas(writing.word(), live.word());
  return done ? DropReason::kNone : DropReason::kContended;
}

constexpr uint32_t kLiveGroups = kLiveGroupWords * 64;

// Async-signal-safe. A small table has fewer groups than there are bits.
uint32_t SlotsOfGroup(const Region& region) {
  const uint32_t slots = region.counts.live / kLiveGroups;
  return slots > kBucketWays ? slots : kBucketWays;
}

// Async-signal-safe.
StackId StackOfOwner(uint64_t owner) {
  return {static_cast<uint32_t>(owner >> 40) & (kMaxStacks - 1),
          static_cast<uint32_t>(owner >> 26) & kStackGenerationMask};
}

// Async-signal-safe. Whether the entry is there still, or held.
bool IsNamed(const Region& region, LiveName name) {
  const LiveKey key = LiveKey::Of(region.live_keys[name.index].Load());
  return (key.state == LiveState::kLive || key.state == LiveState::kHeld) &&
         key.generation == name.generation;
}

// Async-signal-safe.
uint64_t FreeWord(LiveKey key) {
  return LiveKey{LiveState::kFree, key.generation + 1, 0, 0}.word();
}

// Async-signal-safe. In [0, 1), the same for the same entry and interval.
double DrawOf(uint64_t key_word, uint32_t interval) {
  uint64_t state = key_word ^ uint64_t { interval } * 0xd6e8feb86659fd93;
  return static_cast<double>(NextRandom(&state) >> 11) * 0x1p-53;
}

// Async-signal-safe. The slot in these buckets whose block has the smallest interval, of those that
// can be thinned.
uint32_t MostThinnable(const Region& region, const Buckets& buckets) {
  uint32_t best = kNoLive;
  uint32_t smallest = kMaxThinnedInterval;
  for (const uint32_t first : buckets.first_slot) {
    for (uint32_t i = first; i < first + kBucketWays; ++i) {
      if (LiveKey::Of(region.live_keys[i].Load()).state != LiveState::kLive) continue;
      if (static_cast<Kind>(region.live[i].owner.Load() & 15) != Kind::kAlloc) continue;
      const auto interval = static_cast<uint32_t>(region.live[i].birth.Load());
      if (interval < smallest) smallest = interval, best = i;
    }
  }
  return best;
}

}  // namespace

// A slot that is given to another block between the look and the swap of its `birth` makes the swap
// fail, or, if both were born in the same tick at the same interval, that block weighs twice what
// it should.
Thinned ThinLive(const Region& region, uint32_t index, LiveBlock* block) {
  uint64_t word = 0;
  if (!ReadLive(region, index, block, &word)) return Thinned::kNot;
  if (LiveKey::Of(word).state != LiveState::kLive || block->kind != Kind::kAlloc)
    return Thinned::kNot;
  const uint32_t interval = block->interval;
  if (interval == 0 || interval >= kMaxThinnedInterval) return Thinned::kNot;
  const uint32_t twice = 2 * interval;
  const double stays =
      SampleWeight(block->born_size, interval) / SampleWeight(block->born_size, twice);
  if (DrawOf(word, interval) >= stays)
    return ForgetLive(region, index, word) ? Thinned::kGone : Thinned::kNot;
  const uint64_t birth = uint64_t{block->birth} << 32;
  block->interval = twice;
  return region.live[index].birth.Cas(birth | interval, birth | twice) ? Thinned::kStays
                                                                       : Thinned::kNot;
}

bool MakeRoomForLive(const Region& region, const LiveBlock& wanted, LiveBlock* gone) {
  const Buckets buckets = BucketsOf(region, wanted.process_slot, wanted.address);
  for (int i = 0; i < kMaxThinnings; ++i) {
    const uint32_t index = MostThinnable(region, buckets);
    if (index == kNoLive) return false;
    if (ThinLive(region, index, gone) == Thinned::kGone) return true;
  }
  return false;
}

DropReason AddLive(const Region& region, const LiveBlock& block, bool* replaced, LiveName* name) {
  *replaced = false;
  if (block.address >= kMaxLiveAddress || block.address % 8 != 0) return DropReason::kBadSample;
  const Buckets buckets = BucketsOf(region, block.process_slot, block.address);
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    uint64_t word = 0;
    uint32_t index = FindLive(region, buckets, block.process_slot, block.address, &word);
    const bool ghost = index != kNoLive;
    if (!ghost) index = FindFree(region, buckets, &word);
    if (index == kNoLive) return DropReason::kLiveTableFull;
    const uint32_t generation = LiveKey::Of(word).generation + (ghost ? 1 : 0);
    const LiveKey writing{LiveState::kWriting, generation & 0xff, block.process_slot,
                          block.address};
    if (!region.live_keys[index].Cas(word, writing.word())) continue;
    KeepLiveGroup(region, index);
    *replaced = ghost;
    if (name != nullptr) *name = {index, generation & 0xff};
    return FillSlot(region, index, block, writing);
  }
  return DropReason::kContended;
}

bool TakeLive(const Region& region, uint32_t process_slot, uint64_t address) {
  const Buckets buckets = BucketsOf(region, process_slot, address);
  uint64_t word = 0;
  const uint32_t index = FindLive(region, buckets, process_slot, address, &word);
  return index != kNoLive && region.live_keys[index].Cas(word, FreeWord(LiveKey::Of(word)));
}

uint32_t HoldLive(const Region& region, uint32_t process_slot, uint64_t address) {
  const Buckets buckets = BucketsOf(region, process_slot, address);
  uint64_t word = 0;
  const uint32_t index = FindLive(region, buckets, process_slot, address, &word);
  if (index == kNoLive) return kNoLive;
  LiveKey held = LiveKey::Of(word);
  held.state = LiveState::kHeld;
  return region.live_keys[index].Cas(word, held.word()) ? index : kNoLive;
}

void ReleaseLive(const Region& region, uint32_t index, bool gone) {
  const uint64_t word = region.live_keys[index].Load();
  LiveKey key = LiveKey::Of(word);
  if (key.state != LiveState::kHeld) return;
  key.state = LiveState::kLive;
  // Who loses here is a cold side that gave the process up: then the entry is free already.
  static_cast<void>(region.live_keys[index].Cas(word, gone ? FreeWord(key) : key.word()));
}

// Nobody else takes the last pages away while the caller's are not yet gone, so an entry whose
// generation is right stays; but for a cold side that gives the process up, and then there is
// nobody to be wrong for.
bool ResizeLive(const Region& region, LiveName name, int64_t by_bytes) {
  const uint64_t key_word = region.live_keys[name.index].Load();
  const LiveKey key = LiveKey::Of(key_word);
  if (key.state != LiveState::kLive || key.generation != name.generation) return false;
  Shared<uint64_t>& size = region.live[name.index].size;
  const int64_t by = by_bytes / static_cast<int64_t>(MappedPages::kPageBytes);
  for (int attempt = 0; attempt < kMaxResizeAttempts; ++attempt) {
    const uint64_t word = size.Load();
    MappedPages pages = MappedPages::Of(word);
    const auto gone = static_cast<uint64_t>(-by);
    pages.left = by < 0 && gone >= pages.left ? 0 : pages.left + static_cast<uint64_t>(by);
    if (!size.Cas(word, pages.word())) continue;
    if (pages.left != 0) return true;
    return region.live_keys[name.index].Cas(key_word, FreeWord(key));
  }
  return false;
}

// Cold path only. A slot that is given to another block between the look and the swap, on the same
// stack and by the same thread, gets its own stack back.
bool RestackLive(const Region& region, LiveName name, StackId from, StackId to) {
  if (name.index >= region.counts.live || !IsNamed(region, name)) return false;
  Shared<uint64_t>& owner = region.live[name.index].owner;
  const uint64_t before = owner.Load();
  const uint64_t after = OwnerWith(to, before);
  if (before != OwnerWith(from, before) || !owner.Cas(before, after)) return false;
  if (IsNamed(region, name)) return true;
  static_cast<void>(owner.Cas(after, before));
  return false;
}

bool ReadLiveNamed(const Region& region, LiveName name, LiveBlock* block) {
  uint64_t word = 0;
  return name.index < region.counts.live && ReadLive(region, name.index, block, &word) &&
         LiveKey::Of(word).generation == name.generation;
}

bool ReadLive(const Region& region, uint32_t index, LiveBlock* block, uint64_t* word) {
  *word = region.live_keys[index].Load();
  const LiveKey key = LiveKey::Of(*word);
  if (key.state != LiveState::kLive && key.state != LiveState::kHeld) return false;
  const LiveBody& body = region.live[index];
  const uint64_t owner = body.owner.Load();
  const uint64_t birth = body.birth.Load();
  block->address = key.address;
  block->process_slot = key.process_slot;
  block->stack = StackOfOwner(owner);
  block->tid = static_cast<uint32_t>(owner >> 4) & ((1u << 22) - 1);
  block->kind = static_cast<Kind>(owner & 15);
  block->size = block->born_size = body.size.Load();
  if (block->kind == Kind::kMmap) {
    const MappedPages pages = MappedPages::Of(block->size);
    block->size = pages.left * MappedPages::kPageBytes;
    block->born_size = pages.at_birth * MappedPages::kPageBytes;
  }
  block->birth = static_cast<uint32_t>(birth >> 32);
  block->interval = static_cast<uint32_t>(birth);
  const LiveKey after = LiveKey::Of(region.live_keys[index].Load());
  return after.generation == key.generation && after.address == key.address &&
         after.process_slot == key.process_slot && after.state != LiveState::kWriting;
}

bool LiveOwner(const Region& region, uint32_t index, uint32_t* process_slot, StackId* stack,
               uint64_t* word) {
  *word = region.live_keys[index].Load();
  const LiveKey key = LiveKey::Of(*word);
  if (key.state == LiveState::kFree) return false;
  *process_slot = key.process_slot;
  *stack = StackOfOwner(region.live[index].owner.Load());
  return true;
}

LiveSlots NextLiveGroup(const Region& region, uint32_t from) {
  const uint32_t slots = SlotsOfGroup(region);
  const uint32_t groups = region.counts.live / slots;
  for (uint32_t group = (from + slots - 1) / slots; group < groups;) {
    const uint64_t left = region.header->live_groups[group / 64].Load() >> group % 64;
    if (left != 0) {
      const uint32_t first = (group + static_cast<uint32_t>(__builtin_ctzll(left))) * slots;
      return {first, first + slots};
    }
    group = (group / 64 + 1) * 64;
  }
  return {};
}

void DropLiveGroup(const Region& region, uint32_t first_slot) {
  const uint32_t group = first_slot / SlotsOfGroup(region);
  region.header->live_groups[group / 64].Clear(uint64_t{1} << group % 64);
}

void KeepLiveGroup(const Region& region, uint32_t slot) {
  const uint32_t group = slot / SlotsOfGroup(region);
  const uint64_t bit = uint64_t{1} << group % 64;
  Shared<uint64_t>& word = region.header->live_groups[group / 64];
  if ((word.Load() & bit) == 0) word.Set(bit);
}

void KeepAllLiveGroups(const Region& region) {
  for (uint32_t i = 0; i < region.counts.live; i += SlotsOfGroup(region)) KeepLiveGroup(region, i);
}

bool ForgetLive(const Region& region, uint32_t index, uint64_t word) {
  return region.live_keys[index].Cas(word, FreeWord(LiveKey::Of(word)));
}

}  // namespace sonde
