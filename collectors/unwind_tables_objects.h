// SPDX-License-Identifier: Apache-2.0
// What is loaded and executable in this process: the loader's objects and their .eh_frame, and the
// executable mappings that are no object's (JIT code).
//
// Used by unwind_tables.cc on the agent thread. ListObjects, CopyEhFrame and LoadGeneration call
// dl_iterate_phdr, which takes the loader's lock: fine on the agent thread, never in a handler or a
// hook. The lock is what keeps an object mapped while its bytes are read; it is held for one walk
// of the list, or for one copy (about 1 ms for 3 MB), never while tables are built.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "collectors/eh_frame.h"
#include "collectors/unwind_tables_memory.h"

namespace sonde {

struct LoadedObject {
  std::string name;  // as the loader has it; empty: the main program
  uint64_t base = 0;
  uint64_t text_low = 0;  // from the first to the last executable segment
  uint64_t text_high = 0;
  uint64_t eh_frame = 0;        // 0: it has none
  uint64_t eh_frame_limit = 0;  // end of the segment that .eh_frame is in
  uint64_t identity = 0;        // hash of place, name, program headers and notes
};

// Changes whenever an object was loaded or unloaded.
struct LoadGeneration {
  uint64_t loads = 0;
  uint64_t unloads = 0;

  bool operator==(const LoadGeneration&) const = default;
};

struct CodeRange {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const CodeRange&) const = default;
};

// Cold path only.
LoadGeneration CurrentLoadGeneration();

// Every object with code, main program first. False: no memory. Cold path only.
[[nodiscard]] bool ListObjects(std::vector<LoadedObject>* objects);

// Copies the .eh_frame of `object`, if that is still loaded, into `memory`. False: it is gone,
// cannot be read, or there is no memory. Cold path only.
[[nodiscard]] bool CopyEhFrame(const LoadedObject& object, TableMemory* memory,
                               EhFrameSection* section);

// Executable mappings outside `objects`, ascending; at most kMaxCodeRanges of them. Empty where
// /proc cannot be read. Throws std::bad_alloc. Cold path only.
std::vector<CodeRange> ListOtherCode(const std::vector<CodeRange>& objects);
inline constexpr size_t kMaxCodeRanges = 4096;

}  // namespace sonde
