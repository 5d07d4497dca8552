// SPDX-License-Identifier: Apache-2.0
// Names of code that a program made at run time, from the text file that JIT compilers write for
// Linux perf: "START SIZE name" a line, hexadecimal. Used by the symbolizer, in the agent too. Pure
// function. Memory: a name for each address asked for, however long the file; at most
// kMaxPerfMapBytes of it are read, its end rather than its beginning.
//
// Format: tools/perf/Documentation/jit-interface.txt of the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "profile/byte_source.h"

namespace sonde {

inline constexpr uint64_t kMaxPerfMapBytes = uint64_t{64} << 20;
inline constexpr size_t kMaxPerfMapName = 512;

struct PerfMapName {
  uint64_t start = 0;
  uint64_t size = 0;
  std::string name;  // empty: the map does not know the address
};

// One answer an address; `addresses` are sorted. Where lines overlap, the later one counts: the
// compiler reused the place.
std::vector<PerfMapName> LookUpPerfMap(const ByteSource& map, std::span<const uint64_t> addresses);

// The file at `path`, when it may be believed: a regular file, no link, that belongs to `uid` or
// root, because anybody can write into /tmp.
Result<std::unique_ptr<ByteSource>> OpenPerfMap(const std::string& path, uint32_t uid);

}  // namespace sonde
