// SPDX-License-Identifier: Apache-2.0
// Deadlocks and stuck threads in the forked children of the tree. A child of which no thread has
// run since it was looked at costs one system call a look; of the others kMaxLooks are looked at,
// in turn, so each of n busy children is seen every n / kMaxLooks looks. Agent thread only. Memory:
// 150 bytes a child; for its threads see child_threads.h and live_locks.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "agent/life/child_threads.h"
#include "agent/life/lock_watch.h"

namespace sonde::life {

class ChildWatch {
 public:
  static constexpr size_t kMaxChildren = 1024;
  static constexpr int kMaxLooks = 16;

  ChildWatch(CpuCollector* cpu, FindingStore* store) : cpu_(cpu), store_(store) {}

  // Every two seconds or so.
  void Look(uint64_t stuck_after_ns, uint64_t now_ns);

  // Children that the kernel did not let us look at.
  [[nodiscard]] size_t refused() const { return refused_; }

 private:
  struct Child {
    uint64_t born = 0;
    uint64_t cpu_ns = 0;   // of the whole process, when it was looked at
    uint64_t seen_ns = 0;  // that it was there
    bool refused = false;
    ThreadHistory history;
    std::unique_ptr<LockWatch> locks;
  };

  void FindChildren(uint64_t now_ns);
  // True: it was worth a look.
  bool LookAt(int pid, Child* child, uint64_t stuck_after_ns, uint64_t now_ns);

  CpuCollector* const cpu_;
  FindingStore* const store_;
  std::map<int, Child> children_;
  int next_pid_ = 0;
  size_t refused_ = 0;
};

}  // namespace sonde::life
