// SPDX-License-Identifier: Apache-2.0
// Reads a region as a whole, without a folder: what a dead process left in its file. Used by the
// CLI. Reentrant. Memory: a copy of the region, and what it held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "collectors/fold_counts.h"

namespace sonde {

struct Snapshot {
  // All that the cells hold, since they came into use: recent CPU time, not all of the process's.
  // from_ns is the creation of the region. Counts whose stack or thread cannot be told are in the
  // losses.
  FoldProfile profile;
  int64_t utc_offset_ns = 0;  // UTC = a time of the profile + this
  int32_t host_pid = 0;
  uint64_t host_start_ticks = 0;
  std::string boot_id;
  std::string mappings;  // text, as StoreMappings was given it
};

// `bytes` is what a file held (read, not mapped: a file may shrink); it may be cut off or hostile.
// False: `error` says what was expected.
[[nodiscard]] bool ReadSnapshot(const void* bytes, size_t size, Snapshot* snapshot,
                                std::string* error);

}  // namespace sonde
