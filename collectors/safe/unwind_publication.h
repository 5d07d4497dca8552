// SPDX-License-Identifier: Apache-2.0
// How walkers find the unwind tables, and how they tell the builder what they miss.
//
//   UnwindShare (MAP_SHARED, inherited by every forked child)
//     root        the index of the process that builds; its own readers, its own misses
//     children[]  one for each process below it: an index of its own, or the root's
//
// Walkers use a publication from signal handlers, the builder (collectors/unwind_tables.h) from the
// agent thread, maybe of another process. Zero pages are a valid, empty share. Memory: 320 bytes a
// process, in pages that are touched only when there is one.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/region_layout.h"
#include "collectors/safe/unwind_index.h"

namespace sonde {

// Code is asked for, built and dropped in pieces of this size (see unwind_tables_entry.h).
inline constexpr uint32_t kUnwindChunkShift = 16;

// The chunks of code that walks of one process came to in vain since the builder looked last. Any
// thread adds, also inside a handler; one takes. What does not fit is asked for again by a later
// walk.
class UnwindMisses {
 public:
  static constexpr uint32_t kSlots = 16;

  // Async-signal-safe. Counts a walk that missed a table.
  void CountWalk() { count_.fetch_add(1, std::memory_order_relaxed); }

  // Async-signal-safe. Asks for the table of the chunk that `pc` is in.
  void Ask(uint64_t pc) {
    constexpr uint32_t kProbes = 4;
    const uint64_t chunk = pc >> kUnwindChunkShift;
    for (uint32_t i = 0; i < kProbes; ++i) {
      std::atomic<uint64_t>& slot = chunks_[(chunk + i) % kSlots];
      uint64_t seen = slot.load(std::memory_order_relaxed);
      if (seen == 0 && slot.compare_exchange_strong(seen, chunk, std::memory_order_relaxed)) return;
      if (seen == chunk) return;
    }
  }

  // Cold path only.
  bool any() const {
    for (const std::atomic<uint64_t>& slot : chunks_) {
      if (slot.load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
  }

  // Calls sink(first address of the chunk) for each. Cold path only.
  template <typename Sink>
  void TakeAll(Sink&& sink) {
    for (std::atomic<uint64_t>& slot : chunks_) {
      if (slot.load(std::memory_order_relaxed) == 0) continue;
      sink(slot.exchange(0, std::memory_order_relaxed) << kUnwindChunkShift);
    }
  }

  // Async-signal-safe. Walks that missed a table, ever.
  uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> chunks_[kSlots] = {};
};

// The one pointer through which the walkers of a process find the tables, and the count of walkers
// that are reading.
//
// Tables that were replaced may be freed once both reader counts of every process that could find
// them have been seen at zero since: a walker that still holds the old index raised one of them
// before the swap and lowers it only when it is done. New walkers use the count that the builder
// did not just look at, so a busy process drains too. A walker that never finishes (a thread
// stopped by a debugger, cancelled, or killed inside) keeps its count raised: then nothing is
// freed, and the builder's budget, in which retired memory counts, bounds what is kept.
// Constant-initialised: no index, walks end at their first pc.
class UnwindPublication {
 public:
  constexpr UnwindPublication() = default;
  UnwindPublication(const UnwindPublication&) = delete;
  UnwindPublication& operator=(const UnwindPublication&) = delete;

  // Async-signal-safe. Holds an index for the time of one walk.
  class Reader {
   public:
    // seq_cst on both sides (with Publish and Idle): either the writer sees the count raised, or
    // this reader sees the new index.
    explicit Reader(UnwindPublication& from)
        : readers_(from.readers_[from.phase_.load(std::memory_order_relaxed) & 1].count) {
      readers_.fetch_add(1, std::memory_order_seq_cst);
      index_ = from.index_.load(std::memory_order_seq_cst);
      if (index_ == nullptr && from.root_ != nullptr) {
        index_ = from.root_->index_.load(std::memory_order_seq_cst);
      }
    }
    ~Reader() { readers_.fetch_sub(1, std::memory_order_release); }  // pairs with Idle
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    const UnwindIndex* index() const { return index_; }

   private:
    std::atomic<uint32_t>& readers_;
    const UnwindIndex* index_ = nullptr;
  };

  // Async-signal-safe. A walk met code that no table and no known mapping covers.
  void NoteUnknownPc() { unknown_pc_.store(true, std::memory_order_relaxed); }
  UnwindMisses& misses() { return misses_; }

  // The rest is called by the builder's thread only. Cold path only.
  bool TakeUnknownPc() { return unknown_pc_.exchange(false, std::memory_order_relaxed); }
  void Publish(const UnwindIndex* index) { index_.store(index, std::memory_order_seq_cst); }
  // True if no reader is using count `which` (0 or 1) now.
  bool Idle(unsigned which) const {
    return readers_[which].count.load(std::memory_order_seq_cst) == 0;
  }
  // Sends new readers to count `which`.
  void Steer(unsigned which) { phase_.store(which, std::memory_order_relaxed); }

  // The process of a child's publication; 0: nobody's.
  int pid() const { return pid_.load(std::memory_order_seq_cst); }
  // The child, before its first walk: it starts with root's index. Cold path only.
  void Join(const UnwindPublication& root, int pid) {
    index_.store(nullptr, std::memory_order_seq_cst);
    for (auto& readers : readers_) readers.count.store(0, std::memory_order_relaxed);
    misses_.TakeAll([](uint64_t) {});
    unknown_pc_.store(false, std::memory_order_relaxed);
    root_ = &root;
    pid_.store(pid, std::memory_order_seq_cst);  // pairs with pid()
  }
  // The builder: process `pid` is gone; nothing, if the place is another's by now. Cold path only.
  void Leave(int pid) { pid_.compare_exchange_strong(pid, 0, std::memory_order_relaxed); }

 private:
  struct alignas(64) Count {
    std::atomic<uint32_t> count{0};
  };
  std::atomic<const UnwindIndex*> index_{nullptr};
  const UnwindPublication* root_ = nullptr;  // whose index is used while index_ is null
  std::atomic<uint32_t> phase_{0};
  std::atomic<int> pid_{0};
  std::atomic<bool> unknown_pc_{false};
  UnwindMisses misses_;
  Count readers_[2];
};

// For a whole process tree.
struct UnwindShare {
  UnwindPublication root;
  uint64_t token = 0;  // of this share: a process that has it maps the share
  UnwindPublication children[kMaxProcesses];

  // Places from here on were never used, and are not to be touched. Cold path only.
  uint32_t end() const { return end_.load(std::memory_order_seq_cst); }

  // A child takes its place: `slot` is that of its process in the region. Cold path only.
  UnwindPublication& Join(uint32_t slot, int pid) {
    UnwindPublication& mine = children[slot % kMaxProcesses];
    mine.Join(root, pid);
    uint32_t end = end_.load(std::memory_order_relaxed);
    while (end <= slot % kMaxProcesses &&
           !end_.compare_exchange_weak(end, slot % kMaxProcesses + 1, std::memory_order_seq_cst)) {
    }
    return mine;
  }

 private:
  std::atomic<uint32_t> end_{0};
};

}  // namespace sonde
