// SPDX-License-Identifier: Apache-2.0
// Deadlocks and stuck threads of one process of the tree, as findings. Agent thread only. Memory:
// see live_locks.h.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/life/live_locks.h"
#include "agent/life/process_threads.h"
#include "collectors/detectors/deadlock.h"
#include "collectors/findings.h"

namespace sonde::life {

class LockWatch {
 public:
  // `of_child`: sentences name the process.
  LockWatch(int pid, bool of_child, FindingStore* store)
      : pid_(pid), of_child_(of_child), store_(store) {}

  // One look at all threads.
  void Look(ProcessThreads* process, uint64_t stuck_after_ns, uint64_t now_ns);
  // The process has ended, or is looked at no more: so have its findings.
  void End(uint64_t now_ns) { EndOthers({}, now_ns); }

  [[nodiscard]] const LiveLocks& locks() const { return locks_; }

 private:
  using Seen = std::set<std::string>;
  void PutDeadlock(const std::vector<LockEdge>& cycle, uint64_t now_ns, Seen* seen);
  void LookForStuck(uint64_t stuck_after_ns, uint64_t now_ns, Seen* seen);
  void PutStuck(const IdleThread& idle, uint64_t now_ns, Seen* seen);
  void EndOthers(const Seen& seen, uint64_t now_ns);
  [[nodiscard]] std::string OfProcess() const;

  const int pid_;
  const bool of_child_;
  FindingStore* const store_;
  LiveLocks locks_;
  Deadlocks deadlocks_;
  Seen found_;                // ids of findings that go on
  std::set<int> deadlocked_;  // tids: they are not reported as stuck as well
};

}  // namespace sonde::life
