// SPDX-License-Identifier: Apache-2.0
// Who waits for other threads now, in this process and in its forked children, since when and
// where: read from outside, at the time of the question. Nobody is disturbed, and waits that are
// short are left to the hooks, which count them when they end. Agent thread only. Costs about 20 us
// a thread that waits in a futex, 4 us another one. Memory: one stack at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "agent/life/live_threads.h"
#include "collectors/cpu.h"
#include "collectors/open_waits.h"

namespace sonde::life {

struct WaiterOfTree {
  int pid = 0;
  int tid = 0;
  OpenWait wait;  // its since_ns is known, or estimated to about half a second
};

class OpenWaitsOfTree {
 public:
  static constexpr uint64_t kMinNs = 100'000'000;  // of waiting
  static constexpr size_t kMaxThreads = 4096;      // that are looked at
  static constexpr size_t kMaxChildren = 64;

  // Both outlive it.
  OpenWaitsOfTree(CpuCollector* cpu, LiveThreads* threads, int agent_tid)
      : cpu_(cpu), threads_(threads), agent_tid_(agent_tid) {}

  // The threads that waited all the time from `now_ns` - kMinNs on.
  using Visitor = std::function<void(WaiterOfTree waiter)>;
  void Read(uint64_t now_ns, const Visitor& visit);
  // Sentences: who could not be looked at in the last Read, and why.
  [[nodiscard]] std::vector<std::string> NotLookedAt() const;

 private:
  void ReadChildren(uint64_t now_ns, const Visitor& visit);
  void ReadProcess(int pid, ProcessThreads* process, uint64_t now_ns, const Visitor& visit);
  [[nodiscard]] static bool ReadThread(ProcessThreads* process, ThreadReader* reader, int tid,
                                       WaiterOfTree* out);

  CpuCollector* const cpu_;
  LiveThreads* const threads_;
  const int agent_tid_;
  size_t looked_ = 0;
  size_t denied_threads_ = 0;
  size_t too_many_threads_ = 0;
  size_t denied_children_ = 0;
  size_t too_many_children_ = 0;
};

}  // namespace sonde::life
