// SPDX-License-Identifier: Apache-2.0
// Wall-clock captures of the tree, and what of its waiting is recorded. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/endpoints/wall_source.h"
#include "agent/life/live_cpu.h"
#include "agent/life/live_threads.h"
#include "agent/life/wall_recorder.h"

namespace sonde::life {

class LiveWall final : public WallSource {
 public:
  LiveWall(CpuCollector* cpu, LiveThreads* threads, LiveCpu* recording, int agent_tid)
      : cpu_(cpu),
        threads_(threads),
        recording_(recording),
        agent_tid_(agent_tid),
        recorder_(cpu, threads, recording->recorder(), agent_tid) {}
  // At each tick. `why_off` null: waiting is recorded.
  void Configure(const char* why_off, uint64_t now_ns);
  [[nodiscard]] uint64_t next_ns() const { return recorder_.next_ns(); }

  [[nodiscard]] std::unique_ptr<WallCapture> OpenWall(uint64_t period_ns) override;
  [[nodiscard]] const char* WhyNotRecorded() const override { return why_off_; }
  [[nodiscard]] WallPast ReadPast(int64_t from_unix_ns, int64_t to_unix_ns) override;

 private:
  CpuCollector* cpu_;
  LiveThreads* threads_;
  LiveCpu* recording_;
  const int agent_tid_;
  const char* why_off_ = "the agent is starting";
  WallRecorder recorder_;
};

}  // namespace sonde::life
