// SPDX-License-Identifier: Apache-2.0
#include "collectors/cpu_sweep.h"

#include <errno.h>

#include <algorithm>

#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kBusyNs = 1'000'000;  // CPU time in a sweep's interval that makes a thread busy
constexpr uint64_t kBlockedAfterNs =
    300'000'000;  // CPU time without a sample, if that is also many periods
constexpr uint64_t kBlockedPeriods = 10;
constexpr uint64_t kSettledAfterNs = 2 * kSecondNs;
constexpr int kShortLivedScore = 5;  // sweeps in a row

}  // namespace

CpuSweep::CpuSweep(const Region& region, ProcessId process, int agent_tid)
    : region_(region), process_(process), agent_tid_(agent_tid), threads_(agent_tid) {}

void CpuSweep::SetRate(int hz, int signal) {
  const uint64_t period_ns = hz > 0 ? kSecondNs / static_cast<uint64_t>(hz) : 0;
  if (signal != signal_ || period_ns == 0) {
    StopAllTimers(StopReason::kOff);
    for (auto& [tid, timed] : timed_) timed.timer = kNoTimer;
  } else if (period_ns != period_ns_) {
    SetTimerPeriod(period_ns);
  }
  if (period_ns != 0 && signal != 0) AllowTimers();
  period_ns_ = signal != 0 ? period_ns : 0;
  signal_ = signal;
  next_ns_ = 0;
}

void CpuSweep::Arm(int tid, const HostThread& thread, Timed* timed) {
  if (!timed->id.valid) timed->id = ClaimThread(region_, process_, tid, thread.last_seen_ns);
  if (!timed->id.valid) return;
  char name[16] = {};
  thread.name.copy(name, sizeof name);
  SetThreadName(region_, timed->id, name);
  const int index = StartTimer(tid, timed->id, period_ns_, RandomPhase(period_ns_), signal_);
  if (index < 0) {
    refused_ += index == -EAGAIN ? 1 : 0;
    return;
  }
  timed->timer = static_cast<uint32_t>(index);
  timed->cpu_at_arm_ns = thread.cpu_ns;
  last_armed_ns_ = thread.last_seen_ns;
  timed->untimed_ns = 0;
}

void CpuSweep::Disarm(Timed* timed) {
  StopTimer(timed->timer);
  timed->timer = kNoTimer;
}

bool CpuSweep::KeepsSignalBlocked(const HostThread& thread, const Timed& timed) const {
  const uint64_t used_ns = thread.cpu_ns - timed.cpu_at_arm_ns;
  const uint64_t fired_ns = TimerAt(timed.timer).fired_ns.load(std::memory_order_relaxed);
  const uint64_t silent_ns = used_ns > fired_ns ? used_ns - fired_ns : 0;
  return silent_ns > kBlockedAfterNs && silent_ns > kBlockedPeriods * period_ns_;
}

void CpuSweep::SweepThread(int tid, const HostThread& thread, uint64_t now_ns) {
  Timed& timed = timed_[tid];
  timed.seen_ns = now_ns;
  if (timed.id.valid) TouchThread(region_, timed.id, now_ns, thread.cpu_ns);
  if (timed.timer == kNoTimer) {
    timed.untimed_ns += thread.delta_ns;
    const bool busy = thread.delta_ns >= kBusyNs || timed.untimed_ns >= period_ns_;
    if (busy && thread.delta_ns > 0 && now_ns >= timed.blocked_until_ns) Arm(tid, thread, &timed);
    return;
  }
  if (now_ns - thread.last_busy_ns > kReleaseAfterNs) {
    Disarm(&timed);
  } else if (KeepsSignalBlocked(thread, timed)) {
    Disarm(&timed);
    timed.blocked_until_ns = now_ns + kBlockedPauseNs;
  }
}

void CpuSweep::ForgetEnded(uint64_t now_ns) {
  std::erase_if(timed_, [&](const auto& item) {
    const Timed& timed = item.second;
    if (timed.seen_ns == now_ns) return false;
    if (timed.timer != kNoTimer) StopTimer(timed.timer);
    if (timed.id.valid) MarkThreadGone(region_, timed.id);
    return true;
  });
}

// Timers that threads made for themselves: taken into the books, or reaped when their thread has
// ended.
void CpuSweep::AdoptStrays(uint64_t now_ns) {
  size_t known = 0;
  for (const auto& [tid, timed] : timed_) known += timed.timer != kNoTimer ? 1 : 0;
  if (TimersHeld() <= known) return;
  for (uint32_t i = 0; i < kMaxTimers; ++i) {
    const int tid = TimerAt(i).tid.load(std::memory_order_relaxed);
    if (tid == 0) continue;
    uint64_t cpu_ns = 0;
    if (!ThreadCpuTime(tid, &cpu_ns)) {
      StopTimer(i);
      continue;
    }
    Timed& timed = timed_[tid];
    timed.seen_ns = now_ns;
    if (timed.timer == kNoTimer) timed.timer = i;
  }
}

// What the process used beyond what the threads that we know used went to threads that came and
// went between two sweeps.
void CpuSweep::NoteShortLived(uint64_t now_ns) {
  uint64_t process_ns = 0;
  uint64_t agent_ns = 0;
  if (!ProcessCpuTime(sys::Getpid(), &process_ns) || !ThreadCpuTime(agent_tid_, &agent_ns)) return;
  const uint64_t total_ns = process_ns - process_cpu_ns_ - (agent_ns - agent_cpu_ns_);
  uint64_t known_ns = 0;
  for (const auto& [tid, thread] : threads_.threads()) known_ns += thread.delta_ns;
  const bool first = process_cpu_ns_ == 0;
  process_cpu_ns_ = process_ns;
  agent_cpu_ns_ = agent_ns;
  if (first || now_ns == 0) return;
  const bool missed = total_ns > 10 * kBusyNs && known_ns < total_ns - total_ns / 10;
  short_lived_score_ = std::clamp(short_lived_score_ + (missed ? 1 : -1), 0, 10 * kShortLivedScore);
  short_lived_ = short_lived_ ? short_lived_score_ > 0 : short_lived_score_ >= kShortLivedScore;
}

void CpuSweep::Sweep(uint64_t now_ns) {
  threads_.Refresh(now_ns);
  AdoptStrays(now_ns);
  bool busy = false;
  if (threads_.threads().size() != thread_count_) last_armed_ns_ = now_ns;
  thread_count_ = threads_.threads().size();
  for (const auto& [tid, thread] : threads_.threads()) {
    busy = busy || thread.delta_ns > 0;
    if (period_ns_ != 0) SweepThread(tid, thread, now_ns);
  }
  ForgetEnded(now_ns);
  NoteShortLived(now_ns);
  const uint64_t took_ns = MonotonicNs() - now_ns;
  // Ten sweeps a second are for threads that come and go; a process whose busy threads all hold
  // timers needs two.
  const bool changing = (now_ns - last_armed_ns_ < kSettledAfterNs || short_lived_score_ > 0);
  const uint64_t interval_ns = changing ? kBusyIntervalNs : kIdleIntervalNs;
  next_ns_ = now_ns + std::max(interval_ns, took_ns * kMaxShare);
}

bool CpuSweep::IsTimed(int tid) const {
  const auto found = timed_.find(tid);
  return found != timed_.end() && found->second.timer != kNoTimer;
}

std::vector<std::string> CpuSweep::BlockedThreads(uint64_t now_ns) const {
  std::vector<std::string> names;
  for (const auto& [tid, timed] : timed_) {
    if (timed.blocked_until_ns <= now_ns) continue;
    const auto thread = threads_.threads().find(tid);
    if (thread != threads_.threads().end()) names.push_back(thread->second.name);
  }
  return names;
}

}  // namespace sonde
