// SPDX-License-Identifier: Apache-2.0
// What is loaded and executable in this process: ELF objects and their .eh_frame, and the
// executable mappings that are no object's (JIT code).
//
// Used by unwind_tables.cc on the agent thread; stateless. Objects are found in /proc/self/maps and
// by their own headers, not through the loader: no lock is taken, and objects of other namespaces
// and other loaders are found too. An object may go at any moment: reads then fail, and what was
// read of two objects in one place is noticed by the fingerprint. Memory: the lists, which
// vm.max_map_count bounds.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "collectors/eh_frame.h"
#include "collectors/process_memory.h"
#include "collectors/unwind_tables_memory.h"

namespace sonde {

struct LoadedObject {
  std::string name;       // the path as the kernel has it, or "[vdso]"
  uint64_t image = 0;     // where its ELF header is
  uint64_t base = 0;      // what is added to the addresses in its headers
  uint64_t text_low = 0;  // from the first to the last executable segment
  uint64_t text_high = 0;
  uint64_t eh_frame = 0;          // 0: it has none
  uint64_t eh_frame_limit = 0;    // end of the segment that .eh_frame is in
  uint64_t eh_frame_in_file = 0;  // its offset there; 0: in a segment that may be written to
  uint64_t search_table = 0;      // .eh_frame_hdr's: pairs of function and FDE, by address
  uint32_t functions = 0;         // in that table; 0: there is none that we can read
  uint64_t fingerprint = 0;       // FingerprintOf(image)
  uint64_t identity = 0;          // hash of place, name, headers, notes, and what is mapped where
  bool is_go = false;             // Go's linker has left its build id
  bool is_program = false;        // it names a loader (libc does, too)
};

struct CodeRange {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const CodeRange&) const = default;
};
inline constexpr size_t kMaxCodeRanges = 4096;

struct CodeList {
  std::vector<LoadedObject> objects;  // those with code, ascending, without overlaps
  std::vector<CodeRange> other_code;  // ascending; at most kMaxCodeRanges
};

// Lists what is mapped now. An ELF image counts as an object if a segment of its file is
// executable, or if its dynamic section is one of `dynamics` (ascending); where memory cannot be
// read, all is other code. False: the mappings cannot be read. Throws std::bad_alloc. Cold path
// only.
[[nodiscard]] bool ListCode(const ProcessMemory& memory, const std::vector<uint64_t>& dynamics,
                            CodeList* code);

// Hash of an image's first bytes, where linkers put program headers and build id; 0 if it is gone.
// Cold path only.
inline constexpr size_t kFingerprintBytes = 1024;
uint64_t FingerprintOf(const ProcessMemory& memory, uint64_t image);
// Of kFingerprintBytes bytes.
uint64_t FingerprintOfBytes(const uint8_t* bytes);

// Copies the .eh_frame of `object` into `copy`. False: it is gone, cannot be read, or there is no
// memory. Cold path only.
[[nodiscard]] bool CopyEhFrame(const ProcessMemory& memory, const LoadedObject& object,
                               TableMemory* copy, EhFrameSection* section);

}  // namespace sonde
