// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/cell_table.h"

namespace sonde {
namespace {

constexpr uint64_t kCellGenerationMask = 3;
constexpr int kMaxAttempts = 16;
constexpr int kMaxAddRetries = 64;
constexpr int kMaxReadRetries = 64;
constexpr int kEventBits = 40;

struct Buckets {
  uint32_t first_slot[2];
};

// Async-signal-safe.
Buckets BucketsOf(const Region& region, uint64_t key) {
  const uint64_t hash = (key ^ key >> 31) * 0xd6e8feb86659fd93;
  const uint32_t mask = region.counts.cells / kBucketWays - 1;
  const uint32_t a = static_cast<uint32_t>(hash >> 32) & mask;
  const uint32_t b = a ^ ((static_cast<uint32_t>(hash >> 12) | 1) & mask);
  return {{a * kBucketWays, b * kBucketWays}};
}

// Async-signal-safe.
uint64_t GenerationBits(uint64_t value_word) {
  return value_word >> kEventBits & kCellGenerationMask;
}

struct Value {
  uint64_t word;
  uint64_t amount;
};

// Async-signal-safe. The two words as they were at one instant: every change of the pair changes
// the first word.
bool LoadValue(const SharedPair& pair, Value* value) {
  for (int i = 0; i < kMaxReadRetries; ++i) {
    value->word = pair.first.Load();
    value->amount = pair.second.Load();
    if (pair.first.Load() == value->word) return true;
  }
  return false;
}

enum class Added { kDone, kElsewhere, kFull, kContended };

// Async-signal-safe. `key` was seen in cell `index`. The order decides: value, then the key once
// more, then the swap, which proves that no eviction lies between the two readings.
Added AddAt(const Region& region, uint32_t index, uint64_t key, uint64_t events, uint64_t amount) {
  SharedPair& pair = region.cells[index];
  for (int i = 0; i < kMaxAddRetries; ++i) {
    Value value;
    if (!LoadValue(pair, &value)) return Added::kContended;
    if (GenerationBits(value.word) != (key & kCellGenerationMask)) return Added::kElsewhere;
    if (region.cell_keys[index].Load() != key) return Added::kElsewhere;
    if ((value.word & kMaxCellEvents) + events > kMaxCellEvents) return Added::kFull;
    if (pair.Cas(value.word, value.amount, value.word + events, value.amount + amount)) {
      return Added::kDone;
    }
  }
  return Added::kContended;
}

// Async-signal-safe.
Added AddToExisting(const Region& region, const Buckets& buckets, uint64_t key, uint64_t events,
                    uint64_t amount) {
  for (const uint32_t first : buckets.first_slot) {
    for (uint32_t i = 0; i < kBucketWays; ++i) {
      const uint64_t seen = region.cell_keys[first + i].Load();
      if ((seen & ~kCellGenerationMask) != key) continue;
      const Added added = AddAt(region, first + i, seen, events, amount);
      if (added != Added::kElsewhere) return added;
    }
  }
  return Added::kElsewhere;
}

// Async-signal-safe. Puts the key into a free cell of the emptier bucket, with the generation that
// the cell has now. If the cell is evicted and reused in between, the key is stale and counts
// nothing until the sweep clears it: a writer must not take it back, because by then the same word
// may be somebody's valid key.
bool InsertKey(const Region& region, const Buckets& buckets, uint64_t key) {
  uint32_t most_free = 0;
  uint32_t at = 0;
  for (const uint32_t first : buckets.first_slot) {
    uint32_t free = 0;
    uint32_t candidate = 0;
    for (uint32_t i = 0; i < kBucketWays; ++i) {
      if (region.cell_keys[first + i].Load() == 0 && free++ == 0) candidate = first + i;
    }
    if (free > most_free) most_free = free, at = candidate;
  }
  if (most_free == 0) return false;
  const uint64_t generation = GenerationBits(region.cells[at].first.Load());
  // Lost to another writer: then there is one more key to look at, so the caller looks again.
  static_cast<void>(region.cell_keys[at].Cas(0, key | generation));
  return true;
}

}  // namespace

// Async-signal-safe.
CellKey CellKey::Of(uint64_t word) {
  CellKey key;
  key.stack.index = static_cast<uint32_t>(word >> 2) & (kMaxStacks - 1);
  key.stack.generation = static_cast<uint32_t>(word >> 20) & kStackGenerationMask;
  key.thread_slot = static_cast<uint32_t>(word >> 34) & (kMaxThreads - 1);
  key.thread_generation = static_cast<uint32_t>(word >> 48) & kThreadGenerationMask;
  key.kind = static_cast<Kind>(word >> 58);
  return key;
}

// Async-signal-safe.
uint64_t CellKey::word() const {
  return static_cast<uint64_t>(kind) << 58 |
         static_cast<uint64_t>(thread_generation & kThreadGenerationMask) << 48 |
         static_cast<uint64_t>(thread_slot & (kMaxThreads - 1)) << 34 |
         static_cast<uint64_t>(stack.generation & kStackGenerationMask) << 20 |
         static_cast<uint64_t>(stack.index & (kMaxStacks - 1)) << 2;
}

DropReason AddToCell(const Region& region, const CellKey& cell_key, uint64_t events,
                     uint64_t amount) {
  const uint64_t key = cell_key.word();
  const Buckets buckets = BucketsOf(region, key);
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    switch (AddToExisting(region, buckets, key, events, amount)) {
      case Added::kDone:
        return DropReason::kNone;
      case Added::kFull:
        return DropReason::kCounterFull;
      case Added::kContended:
        return DropReason::kContended;
      case Added::kElsewhere:
        break;
    }
    if (!InsertKey(region, buckets, key)) return DropReason::kCellTableFull;
  }
  return DropReason::kContended;
}

CellReading ReadCell(const Region& region, uint32_t index) {
  return ReadCell(region, index, region.cell_keys[index].Load());
}

CellReading ReadCell(const Region& region, uint32_t index, uint64_t key) {
  CellReading reading;
  if (key == 0) return reading;
  reading.key = CellKey::Of(key);
  Value value;
  if (!LoadValue(region.cells[index], &value)) {
    reading.state = CellReading::State::kTorn;
    return reading;
  }
  reading.word = value.word;
  reading.amount = value.amount;
  const bool matches = GenerationBits(value.word) == (key & kCellGenerationMask);
  reading.state = matches ? CellReading::State::kCounting : CellReading::State::kStale;
  return reading;
}

bool EvictCell(const Region& region, uint32_t index, const CellReading& reading) {
  const uint64_t generation = (reading.word >> kEventBits) + 1;
  // First the value, so that no writer can count on the key any more, then the key.
  if (!region.cells[index].Cas(reading.word, reading.amount, generation << kEventBits, 0)) {
    return false;
  }
  region.cell_keys[index].Store(0);
  return true;
}

void ClearStaleCell(const Region& region, uint32_t index) { region.cell_keys[index].Store(0); }

}  // namespace sonde
