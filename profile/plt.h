// SPDX-License-Identifier: Apache-2.0
// Names of procedure linkage table entries, which have no symbols of their own. Used by symbolizer.
// Pure function of the object; x86-64 only. Memory: one section's relocations in pieces of 24 KiB.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "profile/elf_file.h"

namespace sonde {

struct PltEntry {
  uint64_t address = 0;  // link-time
  uint64_t size = 0;
};

struct PltTarget {
  std::string name;       // the imported function; empty: see `resolver`
  uint64_t resolver = 0;  // link-time address of a local ifunc's resolver; 0: none
};

// The entry that holds this link-time address, if it lies in a PLT section. Reads nothing.
std::optional<PltEntry> FindPltEntry(const ElfFile& elf, uint64_t address);

// Where the entry leads. Costs a pass over the relocations.
PltTarget ResolvePltEntry(const ElfFile& elf, const PltEntry& entry);

}  // namespace sonde
