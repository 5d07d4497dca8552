// SPDX-License-Identifier: Apache-2.0
// What the host's idle threads wait for: looked at from outside once in each wait, so that a
// service with thousands of sleeping threads costs nothing while they sleep. Agent thread only.
// Memory: about 300 bytes a thread that waits, its stack included.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/life/live_threads.h"
#include "collectors/cpu.h"
#include "collectors/detectors/deadlock.h"
#include "collectors/detectors/stuck_thread.h"
#include "collectors/lock_words.h"
#include "collectors/thread_reader.h"

namespace sonde::life {

struct IdleThread {
  int tid = 0;
  std::string name;
  uint64_t cpu_ns = 0;    // when it was looked at
  uint64_t waits_ns = 0;  // since it last ran
  WaitClass wait = WaitClass::kForWork;
  LockWait lock;
  ThreadRecord record;  // where, stack
};

class LiveLocks {
 public:
  LiveLocks(const CpuCollector* cpu, LiveThreads* threads) : cpu_(cpu), threads_(threads) {}

  // Looks at threads that have not run for a while and were not looked at since they last did.
  void Look(uint64_t now_ns);

  // Those whose wait is not for work.
  [[nodiscard]] std::vector<const IdleThread*> Suspects() const;
  // Waits for locks with an owner, read again now.
  [[nodiscard]] std::vector<LockEdge> Edges() const;
  [[nodiscard]] const IdleThread* Find(int tid) const;

 private:
  void LookAt(int tid, const HostThread& thread, ThreadReader* reader);
  void Classify(IdleThread* idle) const;
  void KnowFunctions();
  [[nodiscard]] std::vector<std::string_view> FunctionsOf(const ThreadRecord& record) const;
  [[nodiscard]] bool IsThread(int tid) const;

  const CpuCollector* cpu_;
  LiveThreads* threads_;
  std::map<int, IdleThread> idle_;
  std::unordered_map<uint64_t, std::string_view> functions_;  // of libc that wait, by their start
};

}  // namespace sonde::life
