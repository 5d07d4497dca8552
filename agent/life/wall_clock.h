// SPDX-License-Identifier: Apache-2.0
// The time of day, for what is shown; what is measured goes by MonotonicNs(). Any thread.
#pragma once

#include <cstdint>

namespace sonde::life {

// Milliseconds since 1970.
int64_t UnixMs();
// The time of day at which MonotonicNs() was this, as the clock stands now.
int64_t UnixMsOf(uint64_t monotonic_ns);

// What the region adds to MonotonicNs() for nanoseconds since 1970, and back: before the machine
// was started is the beginning of everything.
int64_t UtcOffset();
uint64_t MonotonicOf(int64_t unix_ns);

}  // namespace sonde::life
