// SPDX-License-Identifier: Apache-2.0
#include "agent/life/wall_clock.h"

#include <time.h>

#include "agent/life/tree.h"
#include "collectors/safe/region_file.h"

namespace sonde::life {

int64_t UnixMs() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1000} + now.tv_nsec / 1'000'000;
}

int64_t UnixMsOf(uint64_t monotonic_ns) {
  return UnixMs() -
         (static_cast<int64_t>(MonotonicNs()) - static_cast<int64_t>(monotonic_ns)) / 1'000'000;
}

int64_t UtcOffset() { return static_cast<int64_t>(TreeRegion().header->utc_offset_ns.Load()); }

uint64_t MonotonicOf(int64_t unix_ns) {
  return unix_ns <= UtcOffset() ? 0 : static_cast<uint64_t>(unix_ns - UtcOffset());
}

}  // namespace sonde::life
