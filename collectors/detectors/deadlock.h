// SPDX-License-Identifier: Apache-2.0
// Cycles of threads that wait for each other's locks. Pure: waits go in, cycles come out.
//
// The words of locks are read one after the other while the world goes on, so one look proves
// nothing. A cycle is reported once two looks show the same waits, and none of its threads has run
// between them: then no word of it can have changed, and nobody but its own members could end it.
// Waits with a time limit end by themselves and are left out. Memory: one entry a wait.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace sonde {

struct LockEdge {
  int waiter = 0;       // tid
  int owner = 0;        // tid
  uint64_t object = 0;  // address of the lock
  uint64_t cpu_ns = 0;  // the waiter's CPU clock: did it run?
  bool operator==(const LockEdge&) const = default;
};

class Deadlocks {
 public:
  static constexpr size_t kLongest = 64;  // threads of a cycle

  // Cycles that this look confirms, each beginning with its lowest tid.
  std::vector<std::vector<LockEdge>> Observe(std::span<const LockEdge> waits);

 private:
  std::map<int, LockEdge> before_;  // by waiter
};

// All cycles among the waits. Every thread waits for one lock at most, so every thread is in one
// cycle at most.
std::vector<std::vector<LockEdge>> FindCycles(std::span<const LockEdge> waits);

}  // namespace sonde
