// SPDX-License-Identifier: Apache-2.0
// Decides which threads of this process hold a CPU timer: those that burnt CPU lately, and only
// they (traps 13-15). A timer costs one of RLIMIT_SIGPENDING, which belongs to the whole uid; so
// idle threads give theirs back, and a thread that keeps our signal blocked loses it and is named
// as not covered.
//
// In a process with an io_uring a thread that may wait in there may not have one
// (collectors/safe/rings.h): whoever was seen there never gets one, the others one of user time,
// which disturbs nobody, and when they have been looked at kLooks times while they ran one of all
// their time. They are looked at on.
//
// Called by the agent thread ten times a second while busy threads come and go, else twice. Most
// sweeps only read the clock of the process and of the threads that hold timers: when these explain
// the process's CPU time, no other thread has run and the list of threads need not be read (three
// thousand of them cost 2 ms). Sweeping stays below 1/200 of a core in the long run (SweepBudget).
// Memory: about 200 bytes a thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "collectors/host_threads.h"
#include "collectors/ring_watch.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/region.h"
#include "collectors/safe/thread_table.h"
#include "collectors/sweep_budget.h"
#include "collectors/unsampled.h"

namespace sonde {

class CpuSweep {
 public:
  static constexpr uint64_t kBusyIntervalNs = 100'000'000;
  static constexpr uint64_t kIdleIntervalNs = 500'000'000;
  static constexpr uint64_t kReleaseAfterNs = 10'000'000'000;
  static constexpr uint64_t kBlockedPauseNs = 10'000'000'000;
  static constexpr uint32_t kLooks = 5;
  static constexpr uint64_t kLookIntervalNs = 20'000'000;  // while there are such to be looked at
  static constexpr size_t kLooksInSweep = 64;  // about; the others' turn is in the next ones
  static constexpr uint64_t kListEveryNs = 5'000'000'000;  // at least: who has ended is seen there

  CpuSweep(const Region& region, ProcessId process, int agent_tid);

  // From now on a thread that has our signal blocked gets no timer at all, not even to try: the
  // host reads signals from a descriptor, and would read ours.
  void SpareThreadsThatBlock() { spares_blockers_ = true; }

  // Samples a second of CPU time, 1 … 1000, and the signal to use; hz 0 stops every timer. Timers
  // in place change their period at once.
  void SetRate(int hz, int signal);

  // Looks at threads, arms and disarms.
  void Sweep(uint64_t now_ns);

  // The host is making threads: sweeps come close together for a while.
  void ExpectNewThreads(uint64_t now_ns);

  // When the next sweep is due, CLOCK_MONOTONIC.
  [[nodiscard]] uint64_t next_ns() const { return next_ns_; }

  // Sweeps are far apart, so news of a thread being made would be welcome.
  [[nodiscard]] bool is_settled() const { return settled_; }

  // CPU time went to threads that no sweep ever met: they live too briefly, and should arm
  // themselves.
  [[nodiscard]] bool threads_are_short_lived() const { return short_lived_; }

  [[nodiscard]] const HostThreads& threads() const { return threads_; }
  [[nodiscard]] bool IsTimed(int tid) const;

  // Names of threads without a timer that should have one: our signal is blocked, or no timer was
  // to be had.
  [[nodiscard]] std::vector<std::string> BlockedThreads(uint64_t now_ns) const;
  // Names of threads that have none because they use an io_uring.
  [[nodiscard]] std::vector<std::string> RingThreads() const;
  [[nodiscard]] uint64_t timers_refused() const { return refused_; }

 private:
  struct Timed {
    ThreadId id;
    uint32_t timer = kNoTimer;
    TimerClock clock = TimerClock::kAll;  // of that timer
    uint64_t untimed_ns = 0;              // CPU time since the timer was given back
    uint64_t cpu_at_arm_ns = 0;
    uint64_t blocked_until_ns = 0;  // not tried again before
    uint64_t seen_ns = 0;
    uint32_t looks = 0;      // at where it waits, while it may not be trusted
    uint64_t looked_ns = 0;  // last
    bool uses_ring = false;
    uint64_t cpu_ns = 0;  // when it was last looked at
  };

  void LookAtTimed(uint64_t now_ns);
  [[nodiscard]] bool MustList(uint64_t now_ns) const;
  void ListAll(uint64_t now_ns);
  void SweepThread(int tid, const HostThread& thread, Timed* place, uint64_t now_ns);
  void LookForRing(int tid, const HostThread& thread, Timed* timed);
  void KeepFromRing(int tid, Timed* timed);
  void MindRings();
  [[nodiscard]] TimerClock ClockFor(const Timed& timed) const;
  void UseAllTime(int tid, const HostThread& thread, Timed* timed);
  [[nodiscard]] static bool MayArm(const HostThread& thread, const Timed& timed, uint64_t now_ns);
  void Arm(int tid, const HostThread& thread, Timed* timed);
  void Disarm(Timed* timed);
  void Forget(const Timed& timed);
  [[nodiscard]] int64_t OwedNs(const HostThread& thread, const Timed& timed) const;
  [[nodiscard]] bool KeepsSignalBlocked(const HostThread& thread, const Timed& timed) const;
  [[nodiscard]] static bool Holds(int tid, const Timed& timed);
  void AdoptStrays();
  void Adopt(uint32_t index, const TimerSlot& slot, Timed* timed);
  void ForgetEnded(uint64_t now_ns);
  bool ReadProcessClock();
  void NoteShortLived();
  void NoteUnsampled(uint64_t now_ns);

  const Region& region_;
  ProcessId process_;
  int agent_tid_;
  HostThreads threads_;
  RingWatch ring_watch_;
  bool minds_rings_ = false;
  bool looks_ = false;  // at somebody who may turn out to use a ring, in this sweep
  size_t sweep_count_ = 0;
  Unsampled unsampled_;
  std::unordered_map<int, Timed> timed_;
  uint64_t period_ns_ = 0;
  int signal_ = 0;
  bool spares_blockers_ = false;
  SweepBudget budget_;
  uint64_t next_ns_ = 0;
  uint64_t refused_ = 0;
  uint64_t last_change_ns_ = 0;  // a thread was armed, or threads came or went
  bool settled_ = false;
  size_t thread_count_ = 0;
  uint64_t host_cpu_ns_ = 0;   // of the process without the agent's thread
  uint64_t agent_cpu_ns_ = 0;  // of the agent's thread when the sweep began
  // Since the threads were last listed:
  uint64_t listed_ns_ = 0;  // when
  uint64_t used_ns_ = 0;    // by the process
  uint64_t known_ns_ = 0;   // of that, by threads that were looked at
  int short_lived_score_ = 0;
  bool short_lived_ = false;
};

}  // namespace sonde
