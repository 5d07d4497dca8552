// SPDX-License-Identifier: Apache-2.0
// Runs the detectors over the running agent's numbers and keeps what they find. Agent thread only.
// Memory: see findings.h, hot_stacks.h, live_locks.h, child_watch.h, thread_leak_watch.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config/config_store.h"
#include "agent/endpoints/findings_source.h"
#include "agent/life/child_watch.h"
#include "agent/life/live_threads.h"
#include "agent/life/lock_watch.h"
#include "agent/life/starts_of_tree.h"
#include "agent/life/thread_leak_watch.h"
#include "agent/life/thread_uses.h"
#include "collectors/cgroup_cpu.h"
#include "collectors/cpu.h"
#include "collectors/detectors/hot_process.h"
#include "collectors/detectors/hot_stacks.h"
#include "collectors/detectors/hot_thread.h"
#include "collectors/findings.h"

namespace sonde::life {

class LiveFindings final : public FindingsSource {
 public:
  LiveFindings(const ConfigStore* config, CpuCollector* cpu, LiveThreads* threads);
  ~LiveFindings() override;
  LiveFindings(const LiveFindings&) = delete;
  LiveFindings& operator=(const LiveFindings&) = delete;

  // As often as the agent ticks; looks about once a second. `why_off`: why not, or null.
  void Tick(const char* why_off, uint64_t now_ns);

  [[nodiscard]] const FindingStore& findings() const override { return store_; }
  [[nodiscard]] std::vector<std::string> NotSearched() const override;
  [[nodiscard]] uint64_t searched_since_ns() const override { return started_ns_; }
  [[nodiscard]] const std::vector<Mapping>* MappingsOf(int pid) const override;
  // Looks when its owner, who knows where threads were made, has it look.
  ThreadLeakWatch* thread_leaks() { return &thread_leaks_; }

 private:
  void LookForHotThreads(uint64_t now_ns);
  void PutHot(const HotEpisode& episode);
  void AddStacks(const ThreadKey& key, Finding* to) const;
  void RememberMappings(int pid);
  void ForgetMappings();
  void LookForPressure(uint64_t now_ns);
  void PutPressure(FindingKind kind, bool found, const CpuPressure& pressure, uint64_t now_ns);
  void LookForDeadlocks(uint64_t now_ns);

  const ConfigStore* config_;
  CpuCollector* cpu_;
  LiveThreads* threads_;
  FindingStore store_;
  ThreadUses uses_;
  HotThreads hot_;
  StartsOfTree starts_;
  HotStacks stacks_;
  HotProcess pressure_;
  LockWatch locks_;
  ChildWatch children_;
  ThreadLeakWatch thread_leaks_;
  // Of children with findings: at most kMaxRemembered, about 10 KB each.
  static constexpr size_t kMaxRemembered = 32;
  std::map<int, std::vector<Mapping>> mappings_;
  CgroupCpuReader cgroup_;
  const uint64_t started_ns_;
  const char* why_off_ = nullptr;
  uint64_t next_ns_ = 0;
  uint64_t next_locks_ns_ = 0;
};

}  // namespace sonde::life
