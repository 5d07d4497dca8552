// SPDX-License-Identifier: Apache-2.0
// Where the function around an address begins and ends, by the unwind tables: what is left of the
// functions of a stripped object. Used by symbolizer, for addresses that no symbol names. Pure
// function of the object. Memory: half a kilobyte; about 15 small reads a question.
#pragma once

#include <cstdint>
#include <optional>

#include "profile/elf_file.h"

namespace sonde {

struct FunctionRange {
  uint64_t address = 0;  // link-time
  uint64_t size = 0;
};

// By .eh_frame_hdr's search table; a part that the compiler moved away (".cold") is a function of
// its own. nullopt: no table, one in another encoding than linkers write, or no function there.
std::optional<FunctionRange> FindFunctionRange(const ElfFile& elf, uint64_t address);

}  // namespace sonde
