// SPDX-License-Identifier: Apache-2.0
// Whether the container is at its CPU limit, and whether it was throttled, which are two things:
// many threads at once are throttled long before the average is at the limit. Pure: readings go in.
// Agent thread only. Memory: one reading a look of the window.
#pragma once

#include <cstdint>
#include <deque>

#include "collectors/cgroup_cpu.h"

namespace sonde {

struct HotProcessOptions {
  double share = 0.9;                // of the limit
  uint64_t min_ns = 10'000'000'000;  // over so long
  double throttled_share = 0.1;      // of the periods
};

struct CpuPressure {
  bool at_limit = false;
  bool throttled = false;
  uint64_t since_ns = 0;  // where the window begins
  double cores = 0;       // used in the window
  double limit_cores = 0;
  double throttled_share = 0;  // of the periods in the window
  double throttled_seconds = 0;
};

class HotProcess {
 public:
  void Configure(const HotProcessOptions& options) { options_ = options; }
  // About once a second.
  CpuPressure Observe(uint64_t now_ns, const CgroupCpu& reading);

 private:
  struct Point {
    uint64_t at_ns;
    CgroupCpu cpu;
  };
  HotProcessOptions options_;
  std::deque<Point> points_;
};

}  // namespace sonde
