// SPDX-License-Identifier: Apache-2.0
// Lock contention in this process: switches the lock hooks on and off, and answers the endpoints
// mutex and block. Agent thread only, but where a function says otherwise. What it counts outlives
// this object, so a paused agent thread (yield.h) finds it again.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/endpoints/contention_source.h"
#include "agent/life/open_waits_of_tree.h"
#include "collectors/cpu.h"
#include "collectors/past.h"

namespace sonde::life {

class LiveContention final : public ContentionSource {
 public:
  // What was counted between two times of CLOCK_MONOTONIC, from the recording.
  using PastReader = std::function<Past(uint64_t from_ns, uint64_t to_ns)>;
  LiveContention(CpuCollector* cpu, LiveThreads* threads, int agent_tid, PastReader past)
      : cpu_(cpu), past_(std::move(past)), open_waits_(cpu, threads, agent_tid) {}
  ~LiveContention() override;
  LiveContention(const LiveContention&) = delete;
  LiveContention& operator=(const LiveContention&) = delete;

  // At each tick. `why_off` null: on.
  void Configure(const char* why_off);

  [[nodiscard]] const char* WhyOff() const override { return reading_ ? nullptr : why_off_; }
  [[nodiscard]] ContentionSnapshot Read(ContentionSide side) override;
  [[nodiscard]] ContentionPast ReadPast(ContentionSide side, int64_t from_unix_ns,
                                        int64_t to_unix_ns) override;
  [[nodiscard]] std::vector<ContentionTotal> Totals() override;

 private:
  void SwitchOn();
  void SwitchOff();
  void AddOpenWaits(ContentionSide side, uint64_t from_ns, uint64_t to_ns, ContentionSnapshot* out);

  CpuCollector* cpu_;
  const PastReader past_;
  OpenWaitsOfTree open_waits_;
  const char* why_off_ = "the agent is starting";
  bool reading_ = false;  // the collector is a reader of the folder
  bool refused_ = false;  // by the kernel
};

// From any thread: the lock hooks forward again.
void StopContention();

// In a fork child: the parent's sums are not this process's; and its own thread's state.
void LiveContentionAfterFork();

}  // namespace sonde::life
