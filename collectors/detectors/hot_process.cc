// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_process.h"

namespace sonde {
namespace {

constexpr uint64_t kFewestPeriods = 20;

}  // namespace

CpuPressure HotProcess::Observe(uint64_t now_ns, const CgroupCpu& reading) {
  // A cgroup that the process was moved to starts from its own numbers.
  const bool same = points_.empty() || (reading.used_ns >= points_.back().cpu.used_ns &&
                                        reading.periods >= points_.back().cpu.periods &&
                                        reading.limit_cores == points_.back().cpu.limit_cores);
  if (!same) points_.clear();
  points_.push_back({now_ns, reading});
  while (points_.size() > 2 && now_ns - points_[1].at_ns >= options_.min_ns) points_.pop_front();
  const Point& first = points_.front();
  CpuPressure pressure;
  pressure.limit_cores = reading.limit_cores;
  if (now_ns - first.at_ns < options_.min_ns || reading.limit_cores <= 0) return pressure;
  const double span_ns = static_cast<double>(now_ns - first.at_ns);
  const uint64_t periods = reading.periods - first.cpu.periods;
  const uint64_t throttled = reading.throttled_periods - first.cpu.throttled_periods;
  pressure.since_ns = first.at_ns;
  pressure.cores = static_cast<double>(reading.used_ns - first.cpu.used_ns) / span_ns;
  pressure.throttled_share =
      periods > 0 ? static_cast<double>(throttled) / static_cast<double>(periods) : 0;
  pressure.throttled_seconds =
      static_cast<double>(reading.throttled_ns - first.cpu.throttled_ns) / 1e9;
  pressure.at_limit = pressure.cores >= options_.share * reading.limit_cores;
  pressure.throttled =
      periods >= kFewestPeriods && pressure.throttled_share >= options_.throttled_share;
  return pressure;
}

}  // namespace sonde
