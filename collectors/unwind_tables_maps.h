// SPDX-License-Identifier: Apache-2.0
// The mappings of this process, a line of /proc/self/maps at a time. Used by
// unwind_tables_objects.cc on the agent thread; not thread-safe. One buffer of 8 KiB, no
// allocation. The kernel writes the text a page at a time: of mappings that change meanwhile some
// may be missing, but the ones given ascend and do not overlap.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "collectors/process_memory.h"

namespace sonde {

struct MappedRegion {
  uint64_t low = 0;
  uint64_t high = 0;
  uint64_t offset = 0;  // in the file
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file's
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  std::string_view name;  // until the next call

  bool SameFile(const MappedRegion& other) const {
    return inode != 0 && inode == other.inode && device == other.device;
  }
};

class MapsReader {
 public:
  explicit MapsReader(const ProcessMemory& memory) : memory_(memory) {}
  MapsReader(const MapsReader&) = delete;
  MapsReader& operator=(const MapsReader&) = delete;

  // The next mapping, without the vsyscall page, which is in the kernel's half. False: the end, or
  // an error. Cold path only.
  [[nodiscard]] bool Next(MappedRegion* region);
  bool failed() const { return failed_; }

 private:
  bool NextLine(std::string_view* line);
  bool Fill();

  const ProcessMemory& memory_;
  uint64_t offset_ = 0;
  uint64_t last_high_ = 0;
  bool failed_ = false;
  size_t begin_ = 0;
  size_t end_ = 0;
  char buffer_[8192];
};

}  // namespace sonde
