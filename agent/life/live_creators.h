// SPDX-License-Identifier: Apache-2.0
// Who made the threads that live now: switches the hook's counting on and off, looks now and then
// which threads are gone, and has call sites that leak threads looked for. Agent thread only, but
// where a function says otherwise. What is counted outlives this object, so a paused agent thread
// (yield.h) finds it again. Memory: thread_creators.h, thread_leak_watch.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/endpoints/creators_source.h"
#include "agent/life/thread_leak_watch.h"
#include "collectors/cpu.h"
#include "collectors/safe/thread_origins.h"
#include "collectors/thread_creators.h"

namespace sonde::life {

class LiveCreators final : public CreatorsSource {
 public:
  LiveCreators(CpuCollector* cpu, ThreadLeakWatch* leaks) : cpu_(cpu), leaks_(leaks) {}
  ~LiveCreators() override;
  LiveCreators(const LiveCreators&) = delete;
  LiveCreators& operator=(const LiveCreators&) = delete;

  // At each tick. `why_off` null: on.
  void Configure(const char* why_off);
  // At each tick: sweeps when it is due, and looks for leaks.
  void Tick(uint64_t leak_after_ns, uint64_t now_ns);

  [[nodiscard]] bool Read(CreatorsSnapshot* out, std::string* error) override;
  [[nodiscard]] CreatorsTotals Totals() override;
  [[nodiscard]] std::vector<uint64_t> CreatorOf(int tid) override;

 private:
  void SwitchOn();
  void SwitchOff();
  std::vector<ThreadOrigin> Sweep();
  void AddUnknown(CreatorsSnapshot* out) const;

  CpuCollector* cpu_;
  ThreadLeakWatch* leaks_;
  const char* why_off_ = "the agent is starting";
  bool reading_ = false;  // the collector is a reader of the folder
  uint64_t next_sweep_ns_ = 0;
  std::map<ThreadCreators::Key, uint64_t> live_;
};

// In a fork child: the parent's sums are not this process's.
void LiveCreatorsAfterFork();

}  // namespace sonde::life
