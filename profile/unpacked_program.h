// SPDX-License-Identifier: Apache-2.0
// A program that unpacked itself, as UPX makes them: its code lies in memory without a file, with
// the headers that it had before it was packed. Used by the agent for its own process. Not kept:
// no memory.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "profile/byte_source.h"
#include "profile/mappings.h"

namespace sonde {

// `headers`: where the loader was told that the program's headers are (AT_PHDR). If they and the
// code that they tell of lie in memory without a file, those mappings become mappings of `path`,
// whose file is something else by now: names come from memory. False: it is no such program.
bool FindUnpackedProgram(uint64_t headers, const MemoryReader& reader, std::string_view path,
                         std::vector<Mapping>* mappings);

}  // namespace sonde
