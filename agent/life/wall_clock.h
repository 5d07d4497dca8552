// SPDX-License-Identifier: Apache-2.0
// The time of day, for what is shown; what is measured goes by MonotonicNs(). Any thread.
#pragma once

#include <cstdint>

namespace sonde::life {

// Milliseconds since 1970.
int64_t UnixMs();
// The time of day at which MonotonicNs() was this, as the clock stands now.
int64_t UnixMsOf(uint64_t monotonic_ns);

}  // namespace sonde::life
