// SPDX-License-Identifier: Apache-2.0
// CPU times of the threads of all processes of the tree, for the hot-thread detector. Those of this
// process come from the sweep; a child is looked at in detail only while it, as a whole, is busy.
// Agent thread only. Memory: one entry a process.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "collectors/cpu.h"
#include "collectors/detectors/hot_thread.h"

namespace sonde::life {

class ThreadUses {
 public:
  static constexpr size_t kMaxChildren = 1024;
  static constexpr size_t kMaxTasks = 256;  // of one child

  explicit ThreadUses(const CpuCollector* cpu) : cpu_(cpu) {}

  // A child that used at least `busy_share` of a core since the last reading counts as busy.
  std::vector<ThreadUse> Read(uint64_t now_ns, double busy_share);

 private:
  struct Child {
    uint64_t cpu_ns = 0;
    uint64_t at_ns = 0;
    uint64_t detail_until_ns = 0;
  };

  void AddOwn(std::vector<ThreadUse>* out) const;
  void AddChild(int pid, uint64_t born, double busy_share, uint64_t now_ns,
                std::vector<ThreadUse>* out);
  static void AddTasks(int pid, uint64_t born, uint64_t now_ns, std::vector<ThreadUse>* out);

  const CpuCollector* cpu_;
  std::map<int, Child> children_;
};

}  // namespace sonde::life
