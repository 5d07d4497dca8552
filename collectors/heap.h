// SPDX-License-Identifier: Apache-2.0
// The heap collector's cold side: what was allocated since it was switched on, by call stack (from
// the fold), and what of it is live (from the live table). Agent thread only.
//
// Both are estimates of everything from the sampled blocks (collectors/safe/heap_math.h). Blocks
// from before the switch, and of before a fork in a child, are in neither. Memory: below
// max_totals_bytes() for the sums and kMaxPeakBytes for the peak; when they are used up the lighter
// half of the stacks, of the peak the lightest, is given up and counted as lost.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"
#include "collectors/fold_stacks.h"
#include "collectors/safe/live_table.h"
#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"
#include "collectors/safe/thread_table.h"
#include "collectors/shared_frames.h"

namespace sonde {

// Sums of one call stack of one process.
struct HeapStack {
  SharedFrames frames;  // return addresses, leaf first
  uint16_t flags = 0;   // StackContent::flags
  int32_t pid = 0;
  Kind kind = Kind::kNone;  // kAlloc, kMmap
  int64_t alloc_objects = 0;
  int64_t alloc_bytes = 0;
  int64_t inuse_objects = 0;
  int64_t inuse_bytes = 0;
};

struct HeapReading {
  std::vector<HeapStack> stacks;  // one may come more than once, if several threads allocated on it
  std::vector<FoldLoss> losses;   // kAlloc, kMmap: not in alloc; kLive: not in inuse
  uint64_t live_samples = 0;      // blocks
  uint64_t mapping_samples = 0;   // live mappings
  // Of what is live: mean bytes between samples, each byte counting with what it was drawn at.
  uint32_t mean_interval = 0;
};

// The live set when it was largest, as far as folds saw it.
struct HeapPeak {
  uint64_t at_ns = 0;  // CLOCK_MONOTONIC; 0: none yet
  double bytes = 0;    // blocks and mappings
  HeapReading reading;
};

struct LiveFilter {
  uint32_t born_from = 0;            // ticks of LiveBlock::birth
  uint32_t born_until = UINT32_MAX;  // inclusive
};

class HeapCollector : public FoldSink {
 public:
  // Of the sums; of a large region, which has more stacks to tell apart, an eighth.
  static constexpr size_t kUsualTotalsBytes = 3 << 20;
  static constexpr size_t kMaxPeakBytes = 1 << 20;
  // A new peak is kept when it is higher than the last by one of these: so what is kept may be
  // lower than the truth by as much, and by what came and went between two folds.
  static constexpr double kPeakStep = 0.05;
  static constexpr double kPeakStepBytes = 64 << 20;

  explicit HeapCollector(const Region& region)
      : region_(region),
        max_totals_bytes_(std::max<size_t>(kUsualTotalsBytes, RegionBytes(region.counts) / 8)) {}

  // Everything begins anew: sums, losses, and of the live table only what is born from now on.
  // Entries of `process` go: what became of its blocks meanwhile, nobody saw. Its sampler is off.
  void Begin(ProcessId process, uint64_t now_ns);
  [[nodiscard]] uint64_t since_ns() const { return since_ns_; }

  // As of the last fold; blocks that were freed meanwhile are gone already.
  [[nodiscard]] HeapReading Read(const LiveFilter& filter) const;

  [[nodiscard]] const HeapPeak& peak() const { return peak_; }
  // Entries of the live table that are taken, of all kinds, as of the last fold that saw an
  // allocation.
  [[nodiscard]] uint64_t live_entries() const { return live_entries_; }

  // Thins the live blocks that were drawn at half of `interval` or less, until their interval is
  // above that; any may be given up.
  void ThinLiveTo(uint32_t interval);

  // Of everything that is live now.
  struct LiveTotals {
    uint64_t samples = 0;
    double objects = 0;
    double bytes = 0;
  };
  [[nodiscard]] LiveTotals Live() const;
  [[nodiscard]] size_t max_totals_bytes() const { return max_totals_bytes_; }
  [[nodiscard]] size_t memory_bytes() const {
    return totals_.memory_bytes() + stacks_.memory_bytes() + names_.capacity() * sizeof(StackId);
  }
  struct Allocated {
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  [[nodiscard]] Allocated allocated() const { return allocated_; }
  [[nodiscard]] const std::vector<FoldLoss>& losses() const { return losses_; }

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override;

 private:
  struct LiveSum;
  // A slot of the region's stacks comes round to the same name after 2¹⁴ reuses, 4.5 h at least.
  static constexpr uint64_t kNameTrustedNs = 3600 * uint64_t{1'000'000'000};

  template <class Visit>
  void ForEachLive(const Visit& visit) const;
  void TakePeak(double bytes, uint64_t now_ns);
  void LearnName(uint32_t stack, StackId name);
  std::vector<StackId> AddAllocated(HeapReading* reading) const;
  void AddLive(const LiveFilter& filter, const std::vector<StackId>& names,
               HeapReading* reading) const;
  void AddOther(const LiveSum& sum, HeapReading* reading) const;

  const Region region_;
  const size_t max_totals_bytes_;
  uint64_t since_ns_ = 0;
  uint32_t since_ticks_ = 0;
  InternedStacks stacks_;
  FoldCounts totals_{&stacks_};
  // What the region called each of stacks_ when something was last allocated on it.
  std::vector<StackId> names_;
  uint64_t names_since_ns_ = 0;
  Allocated allocated_;
  std::vector<FoldLoss> losses_;
  bool grew_ = false;  // since the last fold
  uint64_t live_entries_ = 0;
  HeapPeak peak_;
};

}  // namespace sonde
