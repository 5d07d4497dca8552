// SPDX-License-Identifier: Apache-2.0
// A forked child of the tree, looked at from the process that has the agent: by the same files of
// /proc, as far as the kernel permits that (same user, not undumpable). Agent thread only; made for
// one look or one dump, because it holds three descriptors.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "agent/life/process_threads.h"
#include "collectors/cpu.h"
#include "collectors/task_files.h"

namespace sonde::life {

// What is remembered of a child's threads between two looks. Memory: 100 bytes a thread.
using ThreadHistory = std::unordered_map<int, HostThread>;

class ChildThreads final : public ProcessThreads {
 public:
  static constexpr size_t kMaxThreads = 256;  // that are followed

  // Both outlive it.
  ChildThreads(CpuCollector* cpu, int pid, ThreadHistory* history);

  // False: the kernel does not let us read its memory.
  [[nodiscard]] bool ok() const { return memory_.memory_is_open() && files_.ok(); }
  // It has ended, and its parent has not noticed yet.
  [[nodiscard]] bool is_zombie() const { return files_.Stat(pid_).state == 'Z'; }
  // Reads the CPU time of each thread, about 4 µs each.
  void Refresh(uint64_t now_ns);

  [[nodiscard]] const ThreadHistory& threads() const override { return *history_; }
  [[nodiscard]] bool CpuTime(int tid, uint64_t* ns) const override {
    return files_.CpuTime(tid, ns);
  }
  [[nodiscard]] const ProcessMemory& memory() const override { return memory_; }
  void KnowCode() override;
  [[nodiscard]] ThreadReader Reader() override;
  [[nodiscard]] FunctionStarts* starts() override { return &starts_; }

 private:
  CpuCollector* const cpu_;
  const int pid_;
  ThreadHistory* const history_;
  const ProcessMemory memory_;
  const TaskFiles files_;
  FunctionStarts starts_{memory_};
};

}  // namespace sonde::life
