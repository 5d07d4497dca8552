// SPDX-License-Identifier: Apache-2.0
#include "collectors/cpu_sweep.h"

#include <errno.h>

#include <algorithm>

#include "collectors/safe/region_file.h"
#include "collectors/safe/rings.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kBusyNs = 1'000'000;  // CPU time in a sweep's interval that makes a thread busy
constexpr uint64_t kBlockedAfterNs =
    300'000'000;  // CPU time without a sample, if that is also many periods
constexpr uint64_t kBlockedPeriods = 10;
constexpr uint64_t kSettledAfterNs = kSecondNs;
constexpr int kShortLivedScore = 5;  // sweeps in a row
constexpr size_t kFewThreads = 32;   // so few are listed each time

}  // namespace

CpuSweep::CpuSweep(const Region& region, ProcessId process, int agent_tid)
    : region_(region),
      process_(process),
      agent_tid_(agent_tid),
      threads_(agent_tid),
      ring_watch_(agent_tid),
      unsampled_(region, process) {}

void CpuSweep::SetRate(int hz, int signal) {
  const uint64_t period_ns = hz > 0 ? kSecondNs / static_cast<uint64_t>(hz) : 0;
  if (signal != signal_ || period_ns == 0) {
    StopAllTimers(StopReason::kOff);
    for (auto& [tid, timed] : timed_) timed.timer = kNoTimer;
  } else if (period_ns != period_ns_) {
    SetTimerPeriod(period_ns);
  }
  if (period_ns != 0 && signal != 0) AllowTimers();
  if (period_ns_ == 0) unsampled_.Restart();
  period_ns_ = signal != 0 ? period_ns : 0;
  signal_ = signal;
  next_ns_ = 0;
}

void CpuSweep::Arm(int tid, const HostThread& thread, Timed* timed) {
  if (spares_blockers_ && threads_.HasBlocked(tid, signal_)) {
    timed->blocked_until_ns = thread.last_seen_ns + kBlockedPauseNs;
    return;
  }
  if (!timed->id.valid) timed->id = ClaimThread(region_, process_, tid, thread.last_seen_ns);
  if (!timed->id.valid) return;
  char name[16] = {};
  thread.name.copy(name, sizeof name);
  SetThreadName(region_, timed->id, name);
  const TimerClock clock = ClockFor(*timed);
  const int index =
      StartTimer(tid, timed->id, period_ns_, RandomPhase(period_ns_), signal_, 1, clock);
  if (index < 0) {
    refused_ += index == -EAGAIN ? 1 : 0;
    return;
  }
  timed->timer = static_cast<uint32_t>(index);
  timed->clock = clock;
  timed->cpu_at_arm_ns = thread.cpu_ns;
  last_change_ns_ = thread.last_seen_ns;
  timed->untimed_ns = 0;
}

void CpuSweep::Disarm(Timed* timed) {
  StopTimer(timed->timer);
  timed->timer = kNoTimer;
}

// Used since its timer was made, and not delivered yet; a little below zero after an early first
// expiry.
int64_t CpuSweep::OwedNs(const HostThread& thread, const Timed& timed) const {
  const uint64_t fired_ns = TimerAt(timed.timer).fired_ns.load(std::memory_order_relaxed);
  return static_cast<int64_t>(thread.cpu_ns - timed.cpu_at_arm_ns - fired_ns);
}

bool CpuSweep::KeepsSignalBlocked(const HostThread& thread, const Timed& timed) const {
  if (timed.clock != TimerClock::kAll) return false;  // it may owe what it used in the kernel
  const auto silent_ns = static_cast<uint64_t>(std::max(OwedNs(thread, timed), int64_t{0}));
  return silent_ns > kBlockedAfterNs && silent_ns > kBlockedPeriods * period_ns_;
}

void CpuSweep::KeepFromRing(int tid, Timed* timed) {
  timed->uses_ring = true;
  timed->timer = kNoTimer;
  ForbidTimer(tid, ForbidReason::kRing);
}

// Only of a thread that has run since the last time. Long lists are gone through in turns.
void CpuSweep::LookForRing(int tid, const HostThread& thread, Timed* timed) {
  if (thread.cpu_ns < timed->cpu_ns) {  // another thread, with a tid that was used before
    PermitTimer(tid, ForbidReason::kRing);
    timed->looks = 0;
    timed->uses_ring = false;
  }
  timed->cpu_ns = thread.cpu_ns;
  if (timed->uses_ring || timed->looked_ns == thread.last_seen_ns) return;
  if (IsForbidden(tid, ForbidReason::kRing))
    return KeepFromRing(tid, timed);  // so the handler says
  const size_t turns = 1 + timed_.size() / kLooksInSweep;
  if (static_cast<size_t>(tid) % turns != sweep_count_ % turns) return;
  timed->looked_ns = thread.last_seen_ns;
  const int call = threads_.WaitsInCall(tid);
  if (call == kRingEnter) return KeepFromRing(tid, timed);
  if (call == HostThreads::kCallUnknown || timed->looks == kLooks) return;
  ++timed->looks;
  looks_ = true;
  last_change_ns_ = thread.last_seen_ns;
}

// From the first ring on nobody is trusted to stay out of it.
void CpuSweep::MindRings() {
  if (minds_rings_ || !ProcessHasRing()) return;
  minds_rings_ = true;
  for (auto& [tid, timed] : timed_) {
    if (timed.timer != kNoTimer) Disarm(&timed);
  }
}

TimerClock CpuSweep::ClockFor(const Timed& timed) const {
  return minds_rings_ && timed.looks < kLooks ? TimerClock::kUser : TimerClock::kAll;
}

// Now that it is known where it waits.
void CpuSweep::UseAllTime(int tid, const HostThread& thread, Timed* timed) {
  if (timed->timer == kNoTimer || timed->clock == ClockFor(*timed)) return;
  Disarm(timed);
  Arm(tid, thread, timed);
}

bool CpuSweep::MayArm(const HostThread& thread, const Timed& timed, uint64_t now_ns) {
  return thread.delta_ns > 0 && now_ns >= timed.blocked_until_ns && !timed.uses_ring;
}

void CpuSweep::SweepThread(int tid, const HostThread& thread, Timed* place, uint64_t now_ns) {
  Timed& timed = *place;
  timed.seen_ns = now_ns;
  if (timed.id.valid) TouchThread(region_, timed.id, now_ns, thread.cpu_ns);
  if (period_ns_ == 0) return;
  if (minds_rings_ && thread.delta_ns > 0) {
    LookForRing(tid, thread, &timed);
    UseAllTime(tid, thread, &timed);
  }
  if (timed.timer == kNoTimer) {
    timed.untimed_ns += thread.delta_ns;
    const bool busy = thread.delta_ns >= kBusyNs || timed.untimed_ns >= period_ns_;
    if (busy && MayArm(thread, timed, now_ns)) Arm(tid, thread, &timed);
    return;
  }
  if (now_ns - thread.last_busy_ns > kReleaseAfterNs) {
    Disarm(&timed);
  } else if (KeepsSignalBlocked(thread, timed)) {
    Disarm(&timed);
    timed.blocked_until_ns = now_ns + kBlockedPauseNs;
  }
}

void CpuSweep::Forget(const Timed& timed) {
  if (timed.timer != kNoTimer) StopTimer(timed.timer);
  if (timed.id.valid) MarkThreadGone(region_, timed.id);
}

void CpuSweep::ForgetEnded(uint64_t now_ns) {
  std::erase_if(timed_, [&](const auto& item) {
    const bool ended = item.second.seen_ns != now_ns;
    if (ended) Forget(item.second);
    if (ended && item.second.uses_ring) PermitTimer(item.first, ForbidReason::kRing);
    return ended;
  });
}

// A slot may have changed hands meanwhile: the host's alternate stack became too small, or a tid
// was used again.
bool CpuSweep::Holds(int tid, const Timed& timed) {
  if (timed.timer == kNoTimer) return false;
  const TimerSlot& slot = TimerAt(timed.timer);
  return slot.tid.load(std::memory_order_relaxed) == tid &&
         slot.thread.load(std::memory_order_relaxed) == PackThread(timed.id);
}

// Timers that threads made for themselves. Where one thread in so many does, it has spoken for the
// others so far; whoever still lives now is swept, so from here on each speaks for itself.
void CpuSweep::AdoptStrays() {
  size_t known = 0;
  for (auto& [tid, timed] : timed_) {
    if (!Holds(tid, timed)) timed.timer = kNoTimer;
    known += timed.timer != kNoTimer ? 1 : 0;
  }
  uint32_t left = TimersHeld();
  if (left <= known) return;
  for (uint32_t i = 0; i < kMaxTimers && left > 0; ++i) {
    TimerSlot& slot = TimerAt(i);
    const int tid = slot.tid.load(std::memory_order_relaxed);
    if (tid == 0) continue;
    --left;
    slot.weight.store(1, std::memory_order_relaxed);
    if (Timed& timed = timed_[tid]; timed.timer != i) Adopt(i, slot, &timed);
  }
}

void CpuSweep::Adopt(uint32_t index, const TimerSlot& slot, Timed* timed) {
  if (timed->id.valid) MarkThreadGone(region_, timed->id);  // an earlier thread with this tid
  *timed = {};
  timed->timer = index;
  timed->clock = slot.clock.load(std::memory_order_relaxed);
  timed->id = UnpackThread(slot.thread.load(std::memory_order_relaxed));
}

// False when a clock cannot be read.
bool CpuSweep::ReadProcessClock() {
  uint64_t process_ns = 0;
  uint64_t agent_ns = 0;
  if (!ProcessCpuTime(sys::Getpid(), &process_ns) || !ThreadCpuTime(agent_tid_, &agent_ns)) {
    return false;
  }
  const uint64_t host_ns = process_ns - agent_ns;
  agent_cpu_ns_ = agent_ns;
  if (host_cpu_ns_ != 0) used_ns_ += host_ns - std::min(host_ns, host_cpu_ns_);
  host_cpu_ns_ = host_ns;
  return true;
}

// What the process used beyond what the threads that we know used went to threads that came and
// went between two sweeps.
void CpuSweep::NoteShortLived() {
  const bool missed = used_ns_ > 10 * kBusyNs && known_ns_ < used_ns_ - used_ns_ / 10;
  short_lived_score_ = std::clamp(short_lived_score_ + (missed ? 1 : -1), 0, 10 * kShortLivedScore);
  short_lived_ = short_lived_ ? short_lived_score_ > 0 : short_lived_score_ >= kShortLivedScore;
}

void CpuSweep::NoteUnsampled(uint64_t now_ns) {
  int64_t owed_ns = 0;
  for (const auto& [tid, timed] : timed_) {
    const auto thread = threads_.threads().find(tid);
    if (timed.timer == kNoTimer || thread == threads_.threads().end()) continue;
    owed_ns += OwedNs(thread->second, timed);
  }
  unsampled_.Note(host_cpu_ns_, owed_ns, period_ns_, now_ns);
}

// Threads that hold a timer, and no other.
void CpuSweep::LookAtTimed(uint64_t now_ns) {
  for (auto at = timed_.begin(); at != timed_.end();) {
    const auto here = at++;
    auto& [tid, timed] = *here;
    if (timed.timer == kNoTimer) continue;
    if (const HostThread* thread = threads_.RefreshOne(tid, now_ns); thread != nullptr) {
      known_ns_ += thread->delta_ns;
      SweepThread(tid, *thread, &timed, now_ns);
    } else {
      Forget(timed);
      timed_.erase(here);
    }
  }
}

// Somebody has run whom we have not looked at, or the list is old.
bool CpuSweep::MustList(uint64_t now_ns) const {
  return thread_count_ <= kFewThreads || now_ns - listed_ns_ >= kListEveryNs ||
         used_ns_ >= known_ns_ + kBusyNs;
}

void CpuSweep::ListAll(uint64_t now_ns) {
  threads_.Refresh(now_ns);
  const size_t count = threads_.threads().size();
  if (count != thread_count_) last_change_ns_ = now_ns;
  thread_count_ = count;
  for (const auto& [tid, thread] : threads_.threads()) {
    known_ns_ += thread.delta_ns;
    const auto timed = timed_.find(tid);
    // Most threads of a big process never run: nothing is kept of them.
    if (timed == timed_.end() && (thread.delta_ns == 0 || period_ns_ == 0)) continue;
    SweepThread(tid, thread, timed != timed_.end() ? &timed->second : &timed_[tid], now_ns);
  }
  ForgetEnded(now_ns);
  if (listed_ns_ != 0) NoteShortLived();
  listed_ns_ = now_ns;
  used_ns_ = known_ns_ = 0;
}

void CpuSweep::Sweep(uint64_t now_ns) {
  AdoptStrays();
  ++sweep_count_;
  looks_ = false;
  if (period_ns_ != 0) ring_watch_.Tick(now_ns);
  MindRings();
  const bool has_clock = ReadProcessClock();
  const bool few = thread_count_ <= kFewThreads;
  if (!few && period_ns_ != 0) LookAtTimed(now_ns);
  if (!has_clock || MustList(now_ns)) ListAll(now_ns);
  if (has_clock && period_ns_ != 0) NoteUnsampled(now_ns);
  uint64_t agent_ns = agent_cpu_ns_;
  ThreadCpuTime(agent_tid_, &agent_ns);  // not by the wall: waiting for a busy core costs nobody
  const uint64_t took_ns = agent_ns - std::min(agent_ns, agent_cpu_ns_);
  // Ten sweeps a second are for threads that come and go; a process whose busy threads all hold
  // timers needs two.
  settled_ = now_ns - last_change_ns_ >= kSettledAfterNs && short_lived_score_ == 0;
  uint64_t interval_ns = settled_ ? kIdleIntervalNs : kBusyIntervalNs;
  if (looks_) interval_ns = kLookIntervalNs;
  next_ns_ = now_ns + std::max(interval_ns, budget_.PauseNs(now_ns, took_ns));
}

void CpuSweep::ExpectNewThreads(uint64_t now_ns) {
  last_change_ns_ = now_ns;
  settled_ = false;
  next_ns_ = std::min(next_ns_, now_ns + kBusyIntervalNs);
}

bool CpuSweep::IsTimed(int tid) const {
  const auto found = timed_.find(tid);
  return found != timed_.end() && found->second.timer != kNoTimer;
}

std::vector<std::string> CpuSweep::RingThreads() const {
  std::vector<std::string> names;
  for (const auto& [tid, timed] : timed_) {
    if (!timed.uses_ring) continue;
    const auto thread = threads_.threads().find(tid);
    if (thread != threads_.threads().end()) names.push_back(thread->second.name);
  }
  return names;
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
