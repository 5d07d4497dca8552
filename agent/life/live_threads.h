// SPDX-License-Identifier: Apache-2.0
// Looks at the host's threads for the endpoints. Agent thread only. Memory: the caches of
// function_starts.h; a dump has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "agent/endpoints/threads_source.h"
#include "collectors/cpu.h"
#include "collectors/function_starts.h"
#include "collectors/process_memory.h"

namespace sonde::life {

class LiveThreads final : public ThreadsSource {
 public:
  LiveThreads(CpuCollector* cpu, int agent_tid) : cpu_(cpu), agent_tid_(agent_tid) {}

  [[nodiscard]] std::unique_ptr<ThreadDump> OpenThreadDump() override;
  [[nodiscard]] const ProcessMemory& memory() const override { return memory_; }

  // Brings the list of loaded code up to date.
  void KnowCode();
  FunctionStarts* starts() { return &starts_; }
  // For looking at single threads. KnowCode() comes first.
  [[nodiscard]] ThreadReader Reader();
  // Stacks for running threads that do not answer.
  void SetLastSamples(std::function<std::vector<uint64_t>(int tid)> last_sample) {
    last_sample_ = std::move(last_sample);
  }

 private:
  CpuCollector* cpu_;
  const int agent_tid_;
  ProcessMemory memory_;
  FunctionStarts starts_{memory_};
  std::function<std::vector<uint64_t>(int tid)> last_sample_;
};

}  // namespace sonde::life
