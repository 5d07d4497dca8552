// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about threads. agent/life implements it over the collectors, tests
// over their own process. Agent thread only.
#pragma once

#include <memory>
#include <string>

#include "collectors/thread_dump.h"

namespace sonde {

class ThreadsSource {
 public:
  virtual ~ThreadsSource() = default;
  // A dump that has begun: poll it until it is finished. `pid` is a process of the tree, 0: the
  // agent's own. Null, and *error says why: it is none, or has ended.
  [[nodiscard]] virtual std::unique_ptr<ThreadDump> OpenThreadDump(int pid, std::string* error) = 0;
};

}  // namespace sonde
