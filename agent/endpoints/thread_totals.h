// SPDX-License-Identifier: Apache-2.0
// CPU seconds by thread name, as counters that only grow although threads end: at most kMaxNames
// names have a series of their own, the rest counts under kOther. A name that gets its series late
// starts at zero then. Agent thread only. Memory: one entry a live thread and kMaxNames names.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"

namespace sonde {

class ThreadTotals {
 public:
  static constexpr size_t kMaxNames = 20;
  static constexpr const char* kOther = "other";

  // Takes what the threads have used since the last call.
  void Update(const std::vector<ThreadCpu>& threads);

  // Seconds by name, kOther included once it has any.
  const std::map<std::string, double>& seconds() const { return seconds_; }

 private:
  struct Seen {
    double cpu_seconds = 0;
    std::string name;
  };
  using Gains = std::map<std::string, double>;

  Gains GainsSinceLastTime(const std::vector<ThreadCpu>& threads);
  void GiveSeries(const Gains& gains, const std::vector<ThreadCpu>& threads);
  bool FreeOneSeries(const std::vector<ThreadCpu>& threads);

  std::map<int, Seen> threads_;
  std::map<std::string, double> seconds_;
};

}  // namespace sonde
