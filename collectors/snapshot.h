// SPDX-License-Identifier: Apache-2.0
// Reads a region without a folder: what a dead process left in its file, or a live one has in it.
// Used by the CLI. Reentrant. Memory: a copy of the region, and what it held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "collectors/fold_counts.h"
#include "collectors/safe/region.h"

namespace sonde {

// A copy of a region, checked.
class RegionImage {
 public:
  RegionImage() = default;
  ~RegionImage();
  RegionImage(const RegionImage&) = delete;
  RegionImage& operator=(const RegionImage&) = delete;

  // `bytes` is what a file held (read, not mapped: a file may shrink); it may be cut off or
  // hostile. False: `error` says what was expected.
  [[nodiscard]] bool Load(const void* bytes, size_t size, std::string* error);
  // Once loaded. Only to be read from.
  [[nodiscard]] const Region& region() const { return region_; }

 private:
  void* bytes_ = nullptr;
  Region region_;
};

// Whether these are the first bytes of a region, of whatever version.
[[nodiscard]] bool LooksLikeRegion(const void* bytes, size_t size);

struct Snapshot {
  // All that the cells hold, since they came into use: recent CPU time, not all of the process's.
  // from_ns is the creation of the region. Counts whose stack or thread cannot be told are in the
  // losses.
  FoldProfile profile;
  int64_t utc_offset_ns = 0;  // UTC = a time of the profile + this
  int32_t host_pid = 0;
  uint64_t host_start_ticks = 0;
  std::string boot_id;
  std::string host_name;
  std::string mappings;  // text, as StoreMappings was given it
};

// What the tables and the header say. The recording of the last minutes: past.h.
[[nodiscard]] Snapshot ReadSnapshot(const Region& region);

}  // namespace sonde
