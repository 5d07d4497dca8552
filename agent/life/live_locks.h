// SPDX-License-Identifier: Apache-2.0
// What the idle threads of a process wait for: looked at from outside once in each wait, so that a
// service with thousands of sleeping threads costs nothing while they sleep. Agent thread only.
// Memory: about 300 bytes a thread that waits, its stack included.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/life/process_threads.h"
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
  // Looks at threads that have not run for a while and were not looked at since they last did.
  // `process` is the same one each time.
  void Look(ProcessThreads* process, uint64_t now_ns);

  // Those whose wait is not for work.
  [[nodiscard]] std::vector<const IdleThread*> Suspects() const;
  // Waits for locks with an owner, read again now.
  [[nodiscard]] std::vector<LockEdge> Edges(ProcessThreads* process) const;
  // Whether the next look could show anything new although no thread has run.
  [[nodiscard]] bool is_settled() const { return settled_; }
  [[nodiscard]] const IdleThread* Find(int tid) const;

 private:
  void LookAt(ProcessThreads* process, int tid, const HostThread& thread, ThreadReader* reader);
  static void Classify(ProcessThreads* process, IdleThread* idle);
  static LockWait Decode(ProcessThreads* process, const ThreadRecord& record);

  std::map<int, IdleThread> idle_;
  bool settled_ = false;
};

}  // namespace sonde::life
