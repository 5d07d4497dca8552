// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about threads. agent/life implements it over the collectors, tests
// over their own process. Agent thread only.
#pragma once

#include <memory>

#include "collectors/process_memory.h"
#include "collectors/thread_dump.h"

namespace sonde {

class ThreadsSource {
 public:
  virtual ~ThreadsSource() = default;
  // A dump that has begun: poll it until it is finished.
  [[nodiscard]] virtual std::unique_ptr<ThreadDump> OpenThreadDump() = 0;
  // For decoding what threads wait for.
  [[nodiscard]] virtual const ProcessMemory& memory() const = 0;
};

}  // namespace sonde
