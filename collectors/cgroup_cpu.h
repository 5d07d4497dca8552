// SPDX-License-Identifier: Apache-2.0
// The CPU limit of the container, and what came of it: cgroup v2's cpu.max and cpu.stat, v1's
// cpu.cfs_* and cpu.stat. Agent thread only; opens files at each reading. Parsers are pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sonde {

struct CgroupCpu {
  double limit_cores = 0;  // 0: no limit
  uint64_t used_ns = 0;    // by everything in the cgroup
  uint64_t periods = 0;    // in which something ran
  uint64_t throttled_periods = 0;
  uint64_t throttled_ns = 0;
};

// "200000 100000" or "max 100000"; 0: no limit.
double ParseCpuMax(std::string_view text);
// "nr_periods 5\n…"; v1's has throttled_time in ns and no usage.
void ParseCpuStat(std::string_view text, CgroupCpu* out);

// Where the own cgroup's files are; empty: not to be found.
std::string CgroupCpuDirectory();
// Nothing: they cannot be read there.
std::optional<CgroupCpu> ReadCgroupCpu(const std::string& directory);

}  // namespace sonde
