// SPDX-License-Identifier: Apache-2.0
// The .eh_frame of a loaded object, read from the object's file instead of its mapping: pages that
// are read through a mapping stay in the service's RSS until the kernel wants them back, 1.4 MiB of
// libcrypto alone, and a table is built once. Only where the file is what was mapped: the same
// first bytes (headers, build id), the same first page of the section, in a segment that nobody may
// write to. Else the mapping is read.
//
// Used by unwind_tables_objects.cc on the agent thread; not thread-safe. One descriptor while it
// lives, 4 KiB of stack to open.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "collectors/process_memory.h"
#include "collectors/readable_memory.h"
#include "collectors/unwind_tables_objects.h"

namespace sonde {

class EhFrameFile final : public ReadableMemory {
 public:
  // Cold path only.
  EhFrameFile(const ProcessMemory& memory, const LoadedObject& object);
  ~EhFrameFile();
  EhFrameFile(const EhFrameFile&) = delete;
  EhFrameFile& operator=(const EhFrameFile&) = delete;

  // Whether it can stand for the mapping.
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  // By address, as the mapping. False: outside the section's segment, or the file ends before.
  [[nodiscard]] bool Read(uint64_t address, void* out, size_t size) const override;

 private:
  bool IsTheMappedOne(const ProcessMemory& memory) const;

  const LoadedObject& object_;
  long fd_ = -1;
};

}  // namespace sonde
