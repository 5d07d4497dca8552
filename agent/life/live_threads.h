// SPDX-License-Identifier: Apache-2.0
// Looks at the host's threads for the endpoints. Agent thread only. Memory: the caches of
// function_starts.h; a dump has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/endpoints/threads_source.h"
#include "agent/life/process_threads.h"
#include "collectors/cpu.h"
#include "collectors/function_starts.h"
#include "collectors/process_memory.h"

namespace sonde::life {

class LiveThreads final : public ThreadsSource, public ProcessThreads {
 public:
  LiveThreads(CpuCollector* cpu, int agent_tid) : cpu_(cpu), agent_tid_(agent_tid) {}

  [[nodiscard]] std::unique_ptr<ThreadDump> OpenThreadDump(int pid, std::string* error) override;

  // Of this process.
  [[nodiscard]] const std::unordered_map<int, HostThread>& threads() const override {
    return cpu_->sweep().threads().threads();
  }
  [[nodiscard]] bool CpuTime(int tid, uint64_t* ns) const override {
    return ThreadCpuTime(tid, ns);
  }
  [[nodiscard]] const ProcessMemory& memory() const override { return memory_; }
  void KnowCode() override { starts_.SetCode(cpu_->unwind().CodeFor(0)); }
  [[nodiscard]] ThreadReader Reader() override;
  [[nodiscard]] FunctionStarts* starts() override { return &starts_; }

  // Stacks for running threads that do not answer.
  using LastSample = std::function<std::vector<uint64_t>(int pid, int tid)>;
  void SetLastSamples(LastSample last_sample) { last_sample_ = std::move(last_sample); }

 private:
  [[nodiscard]] ThreadDumpSetup SetupFor(int pid) const;
  [[nodiscard]] std::unique_ptr<ThreadDump> OpenDumpOfChild(int pid, std::string* error);

  CpuCollector* cpu_;
  const int agent_tid_;
  ProcessMemory memory_;
  FunctionStarts starts_{memory_};
  LastSample last_sample_;
};

}  // namespace sonde::life
