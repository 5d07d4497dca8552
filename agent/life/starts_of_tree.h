// SPDX-License-Identifier: Apache-2.0
// Where functions of any process of the tree begin. A child that loaded objects after it was forked
// has code that the agent's own process does not know, so each is asked by its own memory where the
// kernel permits that; else what it was forked with counts. Agent thread only. Memory: those of the
// kMaxChildren that were asked for last, each with the cache of function_starts.h and two
// descriptors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "agent/life/live_threads.h"
#include "collectors/cpu.h"
#include "collectors/function_starts.h"
#include "collectors/process_memory.h"

namespace sonde::life {

class StartsOfTree {
 public:
  static constexpr size_t kMaxChildren = 8;

  // Both outlive it.
  StartsOfTree(CpuCollector* cpu, LiveThreads* own) : cpu_(cpu), own_(own) {}

  // 0: not known.
  uint64_t StartOf(int pid, uint64_t pc);
  // It has ended: another process may get its pid.
  void Forget(int pid) { children_.erase(pid); }

 private:
  struct Child {
    explicit Child(int pid) : memory(pid) {}
    const ProcessMemory memory;
    FunctionStarts starts{memory};
    uint64_t known_ns = 0;  // when its code was looked up
    uint64_t asked = 0;     // in which turn
  };

  Child* Find(int pid);

  CpuCollector* const cpu_;
  LiveThreads* const own_;
  std::map<int, std::unique_ptr<Child>> children_;
  uint64_t turn_ = 0;
};

}  // namespace sonde::life
