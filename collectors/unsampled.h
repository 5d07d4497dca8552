// SPDX-License-Identifier: Apache-2.0
// CPU time that no sample stands for, shown in the profile as "[not sampled]": what the kernel says
// this process has used, less what its samples stand for, less what timers in place still owe.
//
// Where it comes from: threads end between two ticks of the kernel, with what expired since the
// last one; threads live too briefly to be given a timer, use too little, keep our signal blocked,
// or are one too many for our share of RLIMIT_SIGPENDING. A thread's exit cannot be read instead:
// it would take a frame of ours below the host's function, or one of the host's thread keys.
//
// Random first expiries make each thread's count right on average but off by up to a period, so
// what is shown lags by kSlackPeriods, and never shrinks. Agent thread only. No memory.
#pragma once

#include <cstdint>

#include "collectors/safe/region.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

class Unsampled {
 public:
  static constexpr uint64_t kSlackPeriods = 20;

  Unsampled(const Region& region, ProcessId process) : region_(region), process_(process) {}

  // `used_ns`: by the process, without the agent's thread. `owed_ns`: what threads with a timer
  // have used and their timers have not delivered yet. Read at the same moment.
  void Note(uint64_t used_ns, int64_t owed_ns, uint64_t period_ns, uint64_t now_ns);

  // Sampling begins anew: what was used meanwhile is nobody's.
  void Restart() { started_ = false; }

 private:
  void Show(uint64_t periods, uint64_t period_ns, uint64_t now_ns);

  const Region& region_;
  ProcessId process_;
  ThreadId nobody_;
  bool started_ = false;
  int64_t shown_ns_ = 0;  // and what was lost before the start
};

}  // namespace sonde
