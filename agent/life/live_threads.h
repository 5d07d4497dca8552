// SPDX-License-Identifier: Apache-2.0
// Looks at the host's threads for the endpoints. Agent thread only. Memory: the caches of
// function_starts.h; a dump has its own.
#pragma once

#include <memory>

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

 private:
  void KnowCode();

  CpuCollector* cpu_;
  const int agent_tid_;
  ProcessMemory memory_;
  FunctionStarts starts_{memory_};
};

}  // namespace sonde::life
