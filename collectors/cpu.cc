// SPDX-License-Identifier: Apache-2.0
#include "collectors/cpu.h"

#include <algorithm>

#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/region_record.h"

namespace sonde {
namespace {

constexpr uint64_t kFoldIntervalNs = 1'000'000'000;
// Waking costs as much as a sweep. So what is due so soon is done in the same wake, which brings
// fold and sweep into step for good: half the time between the sweeps of a settled process.
constexpr uint64_t kSlackNs = CpuSweep::kIdleIntervalNs / 2;
constexpr uint64_t kBuildIntervalNs = 100'000'000;
constexpr int kMaxHz = 1000;

}  // namespace

CpuCollector::CpuCollector(const Region& region, ProcessId process, int agent_tid,
                           UnwindTables* unwind, std::atomic<uint64_t>* shared_period_ns)
    : region_(region),
      unwind_(unwind),
      shared_period_ns_(shared_period_ns),
      sweep_(region, process, agent_tid),
      folder_(region, Folder::Start::kFromNow) {
  folder_.AddSink(this, MonotonicNs());
}

void CpuCollector::BuildTables() {
  unwind_->Refresh();
  has_tables_ = true;
}

CpuCollector::~CpuCollector() { StopAllTimers(StopReason::kOff); }

void CpuCollector::Configure(int hz, int signal) {
  hz_ = hz;
  signal_ = signal;
  ApplyRate();
}

int CpuCollector::effective_hz() const {
  if (hz_ == 0 || signal_ == 0) return 0;
  int wanted = hz_;
  for (const Reader& reader : readers_) wanted = std::max(wanted, reader.hz);
  return std::clamp(wanted / divisor_, 1, kMaxHz);
}

void CpuCollector::ApplyRate() {
  const int hz = effective_hz();
  if (hz == applied_hz_ && signal_ == applied_signal_) return;
  applied_hz_ = hz;
  applied_signal_ = signal_;
  // First the word that handlers follow, then the timers.
  shared_period_ns_->store(hz != 0 ? 1'000'000'000 / static_cast<uint64_t>(hz) : 0,
                           std::memory_order_relaxed);
  sweep_.SetRate(hz, signal_);
}

void CpuCollector::SetRateDivisor(int divisor) {
  divisor_ = std::max(divisor, 1);
  ApplyRate();
}

void CpuCollector::AddReader(FoldSink* reader, int hz) {
  FoldNow();
  readers_.reserve(readers_.size() + 1);  // in both lists or in none
  folder_.AddSink(reader, MonotonicNs());
  readers_.push_back({reader, hz});
  ApplyRate();
}

void CpuCollector::FoldNow() { Fold(MonotonicNs(), Sweep::kYes); }

void CpuCollector::FoldCountsNow() { Fold(MonotonicNs(), Sweep::kNo); }

void CpuCollector::Fold(uint64_t now_ns, Sweep sweep) {
  now_ns = std::max(now_ns, folder_.last_ns());
  if (!has_tables_) return static_cast<void>(folder_.Fold(now_ns));
  const bool changed = unwind_->Refresh();
  unwind_->FinishDeferred(now_ns, this);
  if (watcher_ != nullptr) watcher_->BeforeFold(now_ns, changed);
  handed_over_ = false;
  if (sweep == Sweep::kYes) {
    folder_.Fold(now_ns);
  } else {
    folder_.FoldCounts(now_ns);
  }
  // Where nothing ran it does not matter what came or went meanwhile: the next look finds it.
  const bool changed_again = handed_over_ && unwind_->Refresh();
  if (watcher_ != nullptr) watcher_->AfterFold(now_ns, changed_again);
}

void CpuCollector::RemoveReader(FoldSink* reader) {
  folder_.RemoveSink(reader, MonotonicNs());
  std::erase_if(readers_, [&](const Reader& item) { return item.sink == reader; });
  ApplyRate();
}

void CpuCollector::Tick(uint64_t now_ns) {
  const bool due = now_ns >= std::min(sweep_.next_ns(), next_fold_ns_);
  const bool fold = due && now_ns + kSlackNs >= next_fold_ns_;
  if (due && now_ns + (fold ? kSlackNs : 0) >= sweep_.next_ns()) sweep_.Sweep(now_ns);
  // Who came to new code comes to more of it.
  const bool deferred = unwind_->FinishDeferred(now_ns, this);
  next_build_ns_ = unwind_->BuildMissed() || deferred ? now_ns + kBuildIntervalNs : kNever;
  if (!fold) return;
  Fold(now_ns, Sweep::kYes);
  next_fold_ns_ = now_ns + kFoldIntervalNs;
}

uint64_t CpuCollector::next_ns() const {
  return std::min({sweep_.next_ns(), next_fold_ns_, next_build_ns_});
}

void CpuCollector::OnDelta(const FoldDelta& delta) {
  handed_over_ = true;
  if (delta.kind != Kind::kCpu) return;
  if (delta.frames[0] == static_cast<uint64_t>(SyntheticFrame::kNotSampled)) return;
  totals_.samples += delta.events;
  totals_.sampled_ns += delta.amount;
}

void CpuCollector::OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t) {
  if (kind == Kind::kCpu) totals_.dropped_samples[static_cast<size_t>(reason)] += events;
}

void CpuCollector::OnFoldEnd(uint64_t) {}

void CpuCollector::OnFinished(const FinishedSample& finished) {
  const StackContent stack{finished.frames, finished.depth, StackFlags(finished.end)};
  if (finished.block != nullptr) return FinishBlock(*finished.block, stack);
  const DeferredSample& sample = *finished.sample;
  RecordStack(region_, stack, UnpackThread(sample.thread), Kind::kCpu, sample.events,
              sample.amount);
}

}  // namespace sonde
