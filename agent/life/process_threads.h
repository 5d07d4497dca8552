// SPDX-License-Identifier: Apache-2.0
// The threads of one process of the tree, as whoever looks for stuck ones needs them. The agent's
// own process and its children differ in how their clocks and their memory are read. Agent thread
// only.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "collectors/function_starts.h"
#include "collectors/host_threads.h"
#include "collectors/process_memory.h"
#include "collectors/thread_reader.h"

namespace sonde::life {

class ProcessThreads {
 public:
  virtual ~ProcessThreads() = default;
  // With the CPU time of each, and since when it has not run.
  [[nodiscard]] virtual const std::unordered_map<int, HostThread>& threads() const = 0;
  // Now; false: it has ended.
  [[nodiscard]] virtual bool CpuTime(int tid, uint64_t* ns) const = 0;
  [[nodiscard]] virtual const ProcessMemory& memory() const = 0;
  // Brings the list of loaded code up to date; before Reader() and starts().
  virtual void KnowCode() = 0;
  [[nodiscard]] virtual ThreadReader Reader() = 0;
  [[nodiscard]] virtual FunctionStarts* starts() = 0;
};

}  // namespace sonde::life
