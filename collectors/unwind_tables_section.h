// SPDX-License-Identifier: Apache-2.0
// The pieces of one object's .eh_frame that one stretch of code needs, found by the search table of
// .eh_frame_hdr. Used by unwind_tables_entry.cc on the agent thread; not thread-safe. What the
// bytes say may be hostile: offsets are checked, and the work for one stretch is bounded. Memory:
// address space for the whole section, of which only the pages that are copied count; all of it
// goes with the object.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "collectors/eh_frame.h"
#include "collectors/process_memory.h"
#include "collectors/unwind_tables_memory.h"
#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"

namespace sonde {

class PartialSection {
 public:
  PartialSection(const ProcessMemory& memory, const LoadedObject& object)
      : memory_(memory), object_(object) {}

  enum class Outcome : uint8_t { kBuilt, kUnreadable, kNoMemory };

  // Builds the table of the code in [low, high). Throws std::bad_alloc. Cold path only.
  Outcome Build(uint64_t low, uint64_t high, UnwindRowBuilder& builder, UnwindBlock* out);

 private:
  struct Pair {
    uint64_t function;
    uint64_t fde;  // offset in the section
  };

  bool Reserve();
  bool ReadPairs(uint32_t first, uint32_t count);
  bool FindFirst(uint64_t low, uint32_t* first);
  bool CollectPairs(uint64_t low, uint64_t high);
  bool CopyNeighbours();
  bool Ensure(uint64_t offset, uint64_t size);
  bool EnsureFde(uint64_t offset, uint32_t* length);

  const ProcessMemory& memory_;
  const LoadedObject& object_;
  uint64_t size_ = 0;
  TableMemory copy_;
  std::vector<bool> copied_;  // which pages of the section
  std::vector<Pair> read_;    // the pairs that ReadPairs read
  std::vector<Pair> pairs_;   // those that may have to do with the code
};

}  // namespace sonde
