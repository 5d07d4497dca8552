// SPDX-License-Identifier: Apache-2.0
// The cold side of the region: walks the cells, hands what was added since its last walk to every
// sink, and evicts what is idle. Owned and called by the agent thread alone; one folder per region
// at a time (TakeColdSide). Memory: 24 bytes a cell, 16 a stack, thread and process slot, in zero
// pages that are touched as they are used.
#pragma once

#include <cstdint>
#include <vector>

#include "collectors/fold_sink.h"
#include "collectors/fold_zero_array.h"
#include "collectors/safe/cell_table.h"
#include "collectors/safe/live_table.h"
#include "collectors/safe/region.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

struct FoldOptions {
  uint32_t idle_folds = 60;           // a cell without increments for so many folds is evicted
  uint64_t grace_ns = 1'000'000'000;  // at least so long between retiring and freeing
  uint32_t pressure_percent = 75;     // of a table; above it, one idle fold is enough
};

// What the last fold saw and did.
struct FoldReport {
  uint32_t cells = 0;
  uint32_t stacks = 0;
  uint32_t chunks = 0;
  uint32_t threads = 0;
  uint32_t stuck_writers =
      0;              // stack slots in writing: a handler is in there now, or was stopped there
  uint32_t live = 0;  // sampled blocks that have not been freed
  uint32_t evicted_cells = 0;
  uint32_t freed_stacks = 0;
  uint32_t reclaimed = 0;  // slots and chunks of killed writers
  bool pressure = false;
};

// Takes the cold side of the region. False: another process of the tree has it; `expected` is the
// slot + 1 of an owner that is known to be dead, or 0 for none.
[[nodiscard]] bool TakeColdSide(const Region& region, uint32_t expected, ProcessId self);

class Folder {
 public:
  enum class Start {
    kFromNow,    // what the region holds already belongs to somebody else's folds
    kFromEmpty,  // hand over everything that is in the region
  };

  Folder(const Region& region, Start start, const FoldOptions& options = {});

  // Both fold first: a sink sees exactly what was counted between the two calls. RemoveSink is for
  // destructors, too: where memory has run out it goes without the fold and does not throw.
  void AddSink(FoldSink* sink, uint64_t now_ns);
  void RemoveSink(FoldSink* sink, uint64_t now_ns);

  // About once a second, and before a sink is read. `now_ns`: CLOCK_MONOTONIC; one before that of
  // an earlier fold is taken as that.
  const FoldReport& Fold(uint64_t now_ns);
  // Only what sinks are told, for who wants to read one now: the tables are swept by the next Fold.
  void FoldCounts(uint64_t now_ns);

  const FoldReport& report() const { return report_; }
  uint64_t last_ns() const { return last_ns_; }  // of the last fold
  uint64_t memory_bytes() const;

 private:
  struct DropsSeen {
    uint64_t events;
    uint64_t amount;
    bool operator==(const DropsSeen&) const = default;
  };
  struct CellState {
    uint64_t events;  // as folded
    uint64_t amount;
    uint32_t idle_folds;
  };
  struct SlotAge {
    uint64_t since_ns;   // when the slot began to wait for its end; 0: it does not
    uint32_t used_fold;  // last fold in which a cell referred to it
  };

  uint64_t Advance(uint64_t now_ns);
  void SkipPast();
  void FoldDrops();
  void DecideOnPressure();
  void FoldCells();
  void FoldCell(uint32_t index, uint64_t key);
  bool HandOver(const CellKey& key, uint64_t events, uint64_t amount);
  DropReason Describe(const CellKey& key, FoldDelta* delta);
  void Lose(Kind kind, DropReason reason, uint64_t events, uint64_t amount);
  void MarkUsed(const CellKey& key);
  void FoldLive();
  bool FoldLiveGroup(const LiveSlots& group);
  bool HasOutlived(SlotAge* age, uint64_t now_ns) const;
  void SweepStacks(uint64_t now_ns);
  void SweepStack(uint32_t index, const StackTag& tag, uint64_t now_ns);
  void SweepWriter(uint32_t index, const StackTag& tag);
  void SweepThreads(uint64_t now_ns);
  void SweepProcesses(uint64_t now_ns);

  const Region region_;
  const FoldOptions options_;
  std::vector<FoldSink*> sinks_;
  ZeroArray<CellState> cells_;
  ZeroArray<SlotAge> stacks_;
  ZeroArray<SlotAge> threads_;
  ZeroArray<SlotAge> processes_;
  std::vector<DropsSeen> drops_;
  uint64_t frames_[kMaxDepth] = {};
  uint64_t last_ns_ = 0;
  uint32_t fold_ = 0;
  uint32_t evict_after_ = 0;  // idle folds, in this fold
  bool tables_overflowed_ = false;
  FoldReport report_;
};

}  // namespace sonde
