// SPDX-License-Identifier: Apache-2.0
// Thread leaks of all processes of the tree, as findings: one for each place in the code, however
// many forked workers leak there, so that it keeps its id when one worker replaces another. CPU
// times of a child are read anew, 4 us a thread, only when the child has run. Agent thread only.
// Memory: detectors/thread_leak.h; 32 bytes a thread of a child; at most kMaxFindings findings.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "agent/life/live_threads.h"
#include "collectors/cpu.h"
#include "collectors/detectors/thread_leak.h"
#include "collectors/findings.h"
#include "collectors/safe/thread_origins.h"
#include "collectors/thread_creators.h"

namespace sonde::life {

class ThreadLeakWatch {
 public:
  static constexpr size_t kMaxFindings = 16;
  // Called with the pid of each finding, while that process lives.
  using NoteProcess = std::function<void(int pid)>;

  // All outlive it.
  ThreadLeakWatch(CpuCollector* cpu, LiveThreads* threads, FindingStore* store, NoteProcess note)
      : cpu_(cpu), threads_(threads), store_(store), note_(std::move(note)) {}

  // One look at the threads that live now, each with its creator.
  void Look(std::span<const ThreadOrigin> origins, const ThreadCreators& creators,
            uint64_t after_ns, uint64_t now_ns);
  // Nothing is looked at any more: findings have ended.
  void Stop(uint64_t now_ns);

  // Children whose threads' CPU times the kernel does not tell: they are left out.
  [[nodiscard]] size_t refused() const { return refused_; }

 private:
  struct Child {
    uint64_t cpu_ns = 0;  // of the whole process, when its threads were read
    uint64_t look_ns = 0;
    size_t threads = 0;  // that were to be read then
    std::vector<ThreadSeen> seen;
  };
  // Leaks of one place, that of the process which the finding names first.
  using Group = std::vector<const ThreadLeak*>;

  void AddOwn(std::span<const ThreadOrigin> origins, std::vector<ThreadSeen>* seen) const;
  void AddChildren(std::span<const ThreadOrigin> origins, uint64_t now_ns,
                   std::vector<ThreadSeen>* seen);
  static void ReadChild(std::span<const ThreadOrigin> origins, Child* child);
  [[nodiscard]] Group GroupOf(std::span<const ThreadLeak> leaks, uint64_t creator) const;
  void Put(const Group& group, const ThreadCreators& creators, uint64_t now_ns);
  [[nodiscard]] std::vector<uint64_t> WhereItWaits(int pid, int tid) const;

  CpuCollector* const cpu_;
  LiveThreads* const threads_;
  FindingStore* const store_;
  const NoteProcess note_;
  ThreadLeaks leaks_;
  std::map<int, Child> children_;
  std::map<uint64_t, int> named_;  // creators that leak, and the process named first
  size_t refused_ = 0;
};

}  // namespace sonde::life
