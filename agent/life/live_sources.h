// SPDX-License-Identifier: Apache-2.0
// What the endpoints see of the running agent. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "agent/config/config_store.h"
#include "agent/endpoints/sources.h"
#include "agent/life/guard_rails.h"
#include "agent/life/live_contention.h"
#include "agent/life/live_cpu.h"
#include "agent/life/live_creators.h"
#include "agent/life/live_findings.h"
#include "agent/life/live_heap.h"
#include "agent/life/live_memory.h"
#include "agent/life/live_threads.h"
#include "agent/life/live_wall.h"
#include "collectors/cpu.h"

namespace sonde::life {

class LiveSources : public AgentSources {
 public:
  LiveSources(ConfigStore* config, CpuCollector* cpu, const GuardRails* rails, int agent_tid);

  [[nodiscard]] std::unique_ptr<CpuCapture> OpenCpuCapture(int rate_hz,
                                                           std::string* error) override;
  [[nodiscard]] CpuWindow CpuPast(int64_t from_unix_ns, int64_t to_unix_ns) override;
  [[nodiscard]] AgentStatus Status() override;
  [[nodiscard]] MemorySource& Memory() override { return memory_; }
  [[nodiscard]] std::string Maps(int pid) override;
  [[nodiscard]] std::string CommandLine() override;
  [[nodiscard]] HeapSource& Heap() override { return heap_; }
  void Off() override { off_ = true; }
  void On() override { off_ = false; }
  [[nodiscard]] ThreadsSource* Threads() override { return &threads_; }
  [[nodiscard]] FindingsSource* Findings() override { return &findings_; }
  [[nodiscard]] CreatorsSource* Creators() override { return &creators_; }
  [[nodiscard]] ContentionSource* Contention() override { return &contention_; }
  [[nodiscard]] WallSource* Wall() override { return &wall_; }
  // Runs the detectors that are due, unless there is a reason not to.
  void LookForFindings(const char* why_off, uint64_t now_ns) { findings_.Tick(why_off, now_ns); }

  [[nodiscard]] LiveHeap& live_heap() { return heap_; }
  [[nodiscard]] LiveCreators& live_creators() { return creators_; }
  [[nodiscard]] LiveWall& live_wall() { return wall_; }
  [[nodiscard]] uint64_t next_wall_ns() const { return wall_.next_ns(); }
  [[nodiscard]] LiveContention& live_contention() { return contention_; }
  [[nodiscard]] const std::string& executable() const { return executable_; }
  // The kill switch, until On().
  [[nodiscard]] bool off() const { return off_; }
  // Whenever sampling may have begun or ended. `no_signal`: the service uses them all.
  void NoteSampling(bool no_signal, uint64_t now_ns);
  // Why nothing is sampled although it is wanted; empty when it is.
  void SetTrouble(std::string trouble) { trouble_ = std::move(trouble); }

 private:
  void AddCounters(AgentStatus* status) const;
  void AddThreads(AgentStatus* status) const;
  void AddProcesses(AgentStatus* status) const;
  void AddTables(AgentStatus* status) const;
  void AddNotCovered(AgentStatus* status);
  void AddRings(AgentStatus* status) const;
  [[nodiscard]] std::string State() const;
  [[nodiscard]] bool cpu_wanted() const;
  [[nodiscard]] LiveMemory::OwnMemory OwnMemory() const;

  ConfigStore* config_;
  CpuCollector* cpu_;
  const GuardRails* rails_;
  LiveThreads threads_;
  LiveFindings findings_;
  LiveCreators creators_;
  LiveContention contention_;
  int64_t started_unix_ms_;
  std::string executable_;
  LiveCpu live_cpu_;
  LiveWall wall_;
  LiveHeap heap_;
  LiveMemory memory_;
  // As long as the process lives, whoever runs its agent's thread.
  static inline constinit bool off_ = false;
  std::string trouble_;
};

}  // namespace sonde::life
