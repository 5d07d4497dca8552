// SPDX-License-Identifier: Apache-2.0
// Where the time of the forked children's threads goes: as collectors/wall.h tells it of this
// process, by the same files of /proc, as far as the kernel permits that (child_threads.h). A child
// of which no thread has run since the last look, and whose threads are all known to wait, costs
// one system call a look. Agent thread only. Memory: at most kMaxChildren with kMaxStacks stacks
// each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "collectors/cpu.h"
#include "collectors/wall.h"

namespace sonde::life {

class WallOfChildren {
 public:
  static constexpr size_t kMaxChildren = 64;
  static constexpr size_t kMaxStacks = 300;

  // It outlives this.
  WallOfChildren(CpuCollector* cpu, uint64_t period_ns) : cpu_(cpu), period_ns_(period_ns) {}

  // Looks at the children that moved.
  void Observe(uint64_t now_ns);
  // Nothing is observed any more.
  void Finish();

  using Visitor = std::function<void(int pid, Wall* wall)>;
  void ForEach(const Visitor& visit);
  // After their counts were taken: those that have ended.
  void ForgetEnded();
  // Sentences: which children are not looked at, and why. Empty: all are.
  [[nodiscard]] std::vector<std::string> NotLookedAt() const;

 private:
  struct Child {
    explicit Child(uint64_t period_ns) : wall(period_ns, 0, kMaxStacks) {}
    Wall wall;
    uint64_t cpu_ns = 0;  // of the whole process, at the last look
    uint64_t round = 0;   // when it was there
    bool refused = false;
  };
  using Key = std::pair<int, uint64_t>;  // pid, start time

  void LookAt(int pid, Child* child, uint64_t now_ns);

  CpuCollector* const cpu_;
  const uint64_t period_ns_;
  std::map<Key, Child> children_;
  uint64_t round_ = 0;
  size_t too_many_ = 0;
};

}  // namespace sonde::life
