// SPDX-License-Identifier: Apache-2.0
// Waiting in the recording: looks at all threads of the tree about once a second, as a
// wall-clock capture does ten times, and hands the recorder what each waited where. Off by default.
// Agent thread only. CPU: collectors/wall.h, at most Wall::kCpuShare of a core. Memory: kMaxStacks
// stacks here, and wall_of_children.h; in the recording a fair share of each step
// (collectors/fold_counts.h).
#pragma once

#include <cstdint>
#include <optional>

#include "agent/life/live_threads.h"
#include "agent/life/wall_of_children.h"
#include "collectors/fold_sink.h"
#include "collectors/wall.h"

namespace sonde::life {

class WallRecorder {
 public:
  static constexpr uint64_t kPeriodNs = 1'000'000'000;
  static constexpr size_t kMaxStacks = 2000;

  // `sink` takes samples of Kind::kOffCpu.
  WallRecorder(CpuCollector* cpu, LiveThreads* threads, FoldSink* sink, int agent_tid)
      : cpu_(cpu), threads_(threads), sink_(sink), agent_tid_(agent_tid) {}

  void Configure(bool on, uint64_t now_ns);
  // Looks, when it is due.
  void Tick(uint64_t now_ns);
  // CLOCK_MONOTONIC; never, when it is off.
  [[nodiscard]] uint64_t next_ns() const { return wall_ ? next_ns_ : ~uint64_t{0}; }
  // Since when it is on.
  [[nodiscard]] std::optional<uint64_t> since_ns() const;

 private:
  void Record(int pid, int tid, const WallThread& thread);

  CpuCollector* const cpu_;
  LiveThreads* const threads_;
  FoldSink* const sink_;
  const int agent_tid_;
  std::optional<Wall> wall_;  // while it is on, as are the children
  std::optional<WallOfChildren> children_;
  uint64_t since_ns_ = 0;
  uint64_t next_ns_ = 0;
};

// The system call that such a sample was in; -1: none.
int SystemCallOf(uint16_t flags);

}  // namespace sonde::life
