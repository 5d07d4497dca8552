// SPDX-License-Identifier: Apache-2.0
// Where the time of every thread goes between two moments: how long it was on a CPU, and at which
// stacks it waited. Read from outside, now and then: no signal, no thread is disturbed.
//
// On-CPU time is the thread's CPU clock, and exact. What is left of the wall time it was off: of
// that, the part since the look before belongs to the stack at which the thread waits now; what
// went by while it was found running is carried to the next wait that is found. So the two add up
// to the wall time of each thread, whatever the rate, and only the division among stacks is an
// estimate. A thread whose CPU clock stood still since the last look is where it was, and is not
// read again.
//
// Agent thread only. CPU: about 0.5 us a look at a thread that did not move, 15 us at one that did;
// Observe() says how much, and when to come again so that it stays below kCpuShare of a core.
// Memory: at most kMaxStacks distinct (thread, stack) pairs; what is beyond has no stack.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "collectors/thread_reader.h"

namespace sonde {

// Waiting time of one thread at one stack.
struct WallWait {
  uint64_t looks = 0;
  uint64_t ns = 0;
};

struct WallThread {
  std::string name;
  uint64_t on_cpu_ns = 0;
  uint64_t unseen_ns = 0;  // off a CPU, at a stack that was never seen
  // By system call (-1: none) and stack; frames[0] is a pc, the others are return addresses.
  std::map<std::pair<int, std::vector<uint64_t>>, WallWait> waits;
};

// CPU time of the calling thread from here to the end of the scope, added to *sum_ns.
class CpuMeter {
 public:
  explicit CpuMeter(uint64_t* sum_ns);
  ~CpuMeter() { *sum_ns_ += Used(); }
  CpuMeter(const CpuMeter&) = delete;
  CpuMeter& operator=(const CpuMeter&) = delete;

  // How long it must be until the same again for that to be `share` of a core.
  [[nodiscard]] uint64_t AffordableNs(double share) const {
    return static_cast<uint64_t>(static_cast<double>(Used()) / share);
  }

 private:
  [[nodiscard]] uint64_t Used() const;

  uint64_t* const sum_ns_;
  uint64_t begin_ns_ = 0;
};

class Wall {
 public:
  static constexpr double kCpuShare = 0.005;
  static constexpr size_t kMaxStacks = 20'000;

  Wall(uint64_t period_ns, int skip_tid, size_t max_stacks = kMaxStacks)
      : period_ns_(period_ns), skip_tid_(skip_tid), max_stacks_(max_stacks) {}

  // Looks at all threads. When to do it again.
  uint64_t Observe(uint64_t now_ns, ThreadReader* reader);
  // In place of a look, where it is known that no thread has run since the last one: each goes on
  // waiting where it was. False, and nothing is done: of one that is not known.
  bool StandStill(uint64_t now_ns);
  // Nothing is observed any more: what is carried has no stack.
  void Finish();

  // For each thread what came since the last time, which is forgotten then, and so is a thread that
  // has ended.
  using Visitor = std::function<void(int tid, const WallThread& thread)>;
  void Drain(const Visitor& visit);

  [[nodiscard]] const std::map<int, WallThread>& threads() const { return threads_; }
  [[nodiscard]] uint64_t rounds() const { return rounds_; }
  [[nodiscard]] uint64_t agent_cpu_ns() const { return agent_cpu_ns_; }

 private:
  struct Track {
    uint64_t start_ticks = 0;
    uint64_t at_ns = 0;
    uint64_t cpu_ns = 0;
    uint64_t carried_ns = 0;
    uint64_t round = 0;
    WallWait* place = nullptr;  // where it waits since the last look; null: it ran
  };

  void LookAt(int tid, uint64_t now_ns, ThreadReader* reader);
  WallWait* PlaceOf(int tid, WallThread* thread, ThreadReader* reader);
  void EndGone();
  void ForgetWaits(int tid, WallThread* thread);

  const uint64_t period_ns_;
  const int skip_tid_;
  const size_t max_stacks_;
  std::map<int, WallThread> threads_;
  std::map<int, Track> tracks_;
  size_t stacks_ = 0;
  uint64_t rounds_ = 0;
  uint64_t agent_cpu_ns_ = 0;
};

}  // namespace sonde
