// SPDX-License-Identifier: Apache-2.0
// Makes the region: shared anonymous memory, or a file of a directory, which outlives the process.
// Called once per process tree, at activation, before any thread of ours. Not thread-safe. Memory:
// the region itself.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"

namespace sonde {

struct RegionOptions {
  uint64_t budget_bytes = kDefaultRegionBytes;
  const char* directory = nullptr;  // null or empty: anonymous memory
};

// What came of it, for `status`.
struct RegionOrigin {
  bool in_file = false;
  FixedText<512> path;  // of the file
  RegionError error;    // why there is no file though one was wanted, or no region at all
};

// Malloc-safe: may not allocate or block. Raw system calls only. A directory that does not work
// (missing, read-only, full) gives anonymous memory and an error text. False: there is no region at
// all; the agent must stay off. The file is "sonde-HOST-PID-STARTTICKS.region", mode 0600, its
// blocks allocated before it is mapped, so that a full file system cannot kill the host by SIGBUS.
[[nodiscard]] bool CreateRegion(const RegionOptions& options, Region* region, RegionOrigin* origin);

// Cold path only. Unmaps the region; its file stays. Nothing may use the region any more.
void CloseRegion(Region* region);

// Cold path only. Sets UTC = monotonic + offset again, and says that the tree lives; call it about
// once a second.
void RefreshClock(const Region& region);

// Malloc-safe: may not allocate or block. Field 22 of /proc/PID/stat; 0 when it cannot be read.
uint64_t StartTicksOf(int32_t pid);

// Malloc-safe: may not allocate or block.
uint64_t MonotonicNs();

}  // namespace sonde
