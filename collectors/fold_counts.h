// SPDX-License-Identifier: Apache-2.0
// What was counted in an interval: sums per (stack, thread, kind), and what was lost. The part that
// captures and the recorder share. Not thread-safe: agent thread only. Memory: below the limit that
// it was given; what does not fit is counted as lost under DropReason::kReaderFull.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "collectors/fold_sink.h"
#include "collectors/fold_stacks.h"

namespace sonde {

// A finished profile of an interval; times are CLOCK_MONOTONIC.
struct FoldSample {
  std::vector<uint64_t> frames;  // leaf first
  uint16_t flags = 0;
  FoldThread thread;
  Kind kind = Kind::kNone;
  uint64_t events = 0;
  uint64_t amount = 0;
};
struct FoldLoss {
  Kind kind = Kind::kNone;
  DropReason reason = DropReason::kNone;
  uint64_t events = 0;
  uint64_t amount = 0;
};
struct FoldProfile {
  uint64_t from_ns = 0;
  uint64_t to_ns = 0;
  std::vector<FoldSample> samples;
  std::vector<FoldLoss> losses;
};

// What is shown together: CPU, memory, thread creation, holders of locks, waiters, waiting at
// large.
inline constexpr size_t kKindGroups = 6;
size_t GroupOf(Kind kind);
// The most that each group may keep so that all of them keep at most `kept`.
size_t FairShare(const size_t (&sizes)[kKindGroups], size_t kept);

class FoldCounts {
 public:
  // `stacks` outlives it and may be shared.
  explicit FoldCounts(InternedStacks* stacks) : stacks_(stacks) {}
  ~FoldCounts() { Clear(); }
  FoldCounts(const FoldCounts&) = delete;
  FoldCounts& operator=(const FoldCounts&) = delete;

  // What adding this would take, an upper bound.
  static size_t BytesFor(const FoldDelta& delta);
  // Which of the stacks it is on.
  uint32_t Add(const FoldDelta& delta);
  // As Add; false: there is no memory, and nothing was added.
  [[nodiscard]] bool TryAdd(const FoldDelta& delta);
  // As Add, of everything that `other` has; both share their stacks.
  void AddAll(const FoldCounts& other);
  void Lose(Kind kind, DropReason reason, uint64_t events, uint64_t amount);
  // Gives up half, counted as lost, so that what is heavy stays and what is new comes in. Bytes and
  // nanoseconds cannot be compared: each group of kinds keeps its heaviest, and the groups keep
  // equally many, as far as they have so many.
  void ShedLightHalf();
  void Clear();

  // One sum, as it lies here: valid until the next change.
  struct Entry {
    std::span<const uint64_t> frames;
    uint32_t stack;  // id among the stacks
    uint64_t hash;   // of frames and flags: HashStack()
    uint16_t flags;
    uint32_t thread;  // index into threads()
    Kind kind;
    uint64_t events;
    uint64_t amount;
  };
  [[nodiscard]] std::vector<Entry> Entries() const;
  [[nodiscard]] size_t size() const { return sums_.size(); }
  template <class Visit>
  void ForEach(const Visit& visit) const {
    for (const auto& [key, sum] : sums_) visit(EntryOf(key, sum));
  }
  [[nodiscard]] std::span<const FoldThread> threads() const { return threads_; }
  [[nodiscard]] std::vector<FoldLoss> Losses() const;

  void AppendTo(FoldProfile* profile) const;
  // Without the stacks.
  size_t memory_bytes() const;
  // Of the stacks, as if nobody else used them.
  size_t stack_bytes() const { return stack_bytes_; }

 private:
  struct Sum {
    uint64_t events = 0;
    uint64_t amount = 0;
  };
  struct Key {
    uint32_t stack;
    uint32_t thread;  // index into threads_
    Kind kind;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      const uint64_t word = uint64_t{key.stack} << 32 | key.thread;
      return (word ^ static_cast<uint64_t>(key.kind) << 27) * 0x9e3779b97f4a7c15 >> 20;
    }
  };

  [[nodiscard]] Entry EntryOf(const Key& key, const Sum& sum) const;
  uint32_t ThreadIndex(const FoldThread& thread);
  void GiveUp(std::unordered_map<Key, Sum, KeyHash>::const_iterator entry);
  void DropUnusedThreads();
  void AddSum(uint32_t stack, const FoldThread& thread, Kind kind, Sum sum);

  InternedStacks* stacks_;
  size_t stack_bytes_ = 0;
  std::vector<FoldThread> threads_;
  std::unordered_map<uint64_t, uint32_t> thread_index_;  // slot and generation → threads_
  std::unordered_map<Key, Sum, KeyHash> sums_;           // each holds a reference to its stack
  std::map<std::pair<Kind, DropReason>, Sum> losses_;
};

}  // namespace sonde
