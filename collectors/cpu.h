// SPDX-License-Identifier: Apache-2.0
// The CPU collector's cold side: keeps unwind tables fresh, timers on the threads that run, folds
// what the handler counted, and decides the rate. Agent thread only. Memory: the unwind budget, the
// folder's books and the sweep's.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "collectors/cpu_sweep.h"
#include "collectors/fold.h"
#include "collectors/fold_sink.h"
#include "collectors/safe/region.h"
#include "collectors/unwind_tables.h"

namespace sonde {

struct CpuTotals {
  uint64_t samples = 0;
  uint64_t sampled_ns = 0;
  uint64_t dropped_samples[kDropReasonLimit] = {};
};

// Told around each fold, so that what was loaded is known for the samples of the time since the
// last one. Agent thread only.
class FoldWatcher {
 public:
  virtual ~FoldWatcher() = default;
  // `changed`: objects came or went since the last AfterFold.
  virtual void BeforeFold(uint64_t now_ns, bool changed) = 0;
  // `changed`: and since BeforeFold, if the fold had anything to hand over.
  virtual void AfterFold(uint64_t now_ns, bool changed) = 0;
};

class CpuCollector : private FoldSink, private FinishedSamples {
 public:
  // `unwind` outlives every handler that may be walking with its tables, so it is not ours to
  // destroy.
  CpuCollector(const Region& region, ProcessId process, int agent_tid, UnwindTables* unwind,
               std::atomic<uint64_t>* shared_period_ns);
  ~CpuCollector() override;

  // Builds the unwind tables of what is loaded, which takes longer than all else at the start;
  // once, before the first tick. Until then folds only count.
  void BuildTables();

  // The configured rate; 0 is off. `signal` 0: none could be had, so nothing is sampled.
  void Configure(int hz, int signal);

  // At most one; null: none.
  void SetWatcher(FoldWatcher* watcher) { watcher_ = watcher; }
  // A reader that wants everything from now on, at `hz` at least. Readers never disturb each other.
  void AddReader(FoldSink* reader, int hz);
  // Brings every reader up to date.
  void FoldNow();
  // The same for a reader that looks at what is counted, and at no table that a fold sweeps.
  void FoldCountsNow();
  void RemoveReader(FoldSink* reader);

  // The host is making threads, and waits for nothing.
  void SpareThreadsThatBlock() { sweep_.SpareThreadsThatBlock(); }
  void ExpectNewThreads(uint64_t now_ns) { sweep_.ExpectNewThreads(now_ns); }

  // Sweeps, folds and refreshes what is due.
  void Tick(uint64_t now_ns);
  [[nodiscard]] uint64_t next_ns() const;

  // Self-limit: the rate is divided by this (1, 2, 4 …).
  void SetRateDivisor(int divisor);
  [[nodiscard]] int rate_divisor() const { return divisor_; }

  [[nodiscard]] int configured_hz() const { return hz_; }
  [[nodiscard]] int effective_hz() const;
  [[nodiscard]] const CpuTotals& totals() const { return totals_; }
  [[nodiscard]] const CpuSweep& sweep() const { return sweep_; }
  [[nodiscard]] const Folder& folder() const { return folder_; }
  [[nodiscard]] const UnwindTables& unwind() const { return *unwind_; }
  [[nodiscard]] UnwindTables& unwind() { return *unwind_; }

 private:
  struct Reader {
    FoldSink* sink;
    int hz;
  };

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t now_ns) override;
  void OnFinished(const FinishedSample& finished) override;
  void ApplyRate();
  enum class Sweep { kNo, kYes };
  void Fold(uint64_t now_ns, Sweep sweep);

  const Region region_;
  FoldWatcher* watcher_ = nullptr;
  UnwindTables* unwind_;
  std::atomic<uint64_t>* shared_period_ns_;
  CpuSweep sweep_;
  Folder folder_;
  std::vector<Reader> readers_;
  CpuTotals totals_;
  int hz_ = 0;
  int signal_ = 0;
  int divisor_ = 1;
  int applied_hz_ = -1;
  int applied_signal_ = 0;
  static constexpr uint64_t kNever = ~uint64_t{0};
  uint64_t next_fold_ns_ = 0;
  uint64_t next_build_ns_ = kNever;  // of unwind tables
  bool has_tables_ = false;
  bool handed_over_ = false;  // anything, in the fold that is under way
};

}  // namespace sonde
