// SPDX-License-Identifier: Apache-2.0
// Names of code that a program made at run time, from the text file that JIT compilers write for
// Linux perf: "START SIZE name" a line, hexadecimal. Used by the symbolizer, in the agent too. Pure
// functions. Memory: a name for each address asked for, however long the file; at most
// kMaxPerfMapBytes of it are read, its end rather than its beginning.
//
// Compilers append, so what the file told at some time is its beginning up to the size that it had
// then. Where one has used an address again since, that beginning has the older name.
//
// Format: tools/perf/Documentation/jit-interface.txt of the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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

// How large the file was when something ran: at least `from_bytes`, when that began, and at most
// `to_bytes`, when it ended. The default: names are those of now.
struct PerfMapTime {
  uint64_t from_bytes = UINT64_MAX;
  uint64_t to_bytes = UINT64_MAX;

  auto operator<=>(const PerfMapTime&) const = default;  // NOLINT(modernize-use-nullptr)
};

struct PerfMapQuery {
  uint64_t address = 0;
  PerfMapTime time = {};

  auto operator<=>(const PerfMapQuery&) const = default;  // NOLINT(modernize-use-nullptr)
};

// One answer a query; `queries` are sorted. Where lines overlap, the later one counts: the compiler
// reused the place. An address that went from one name to another within the time of its query gets
// none.
std::vector<PerfMapName> LookUpPerfMap(const ByteSource& map,
                                       std::span<const PerfMapQuery> queries);

// Whether one of the sorted `addresses` went from one name to another in the lines behind sizes[i -
// 1] and up to sizes[i]; of the last answer, in those behind all `sizes`, which are sorted.
std::vector<bool> FindRenamed(const ByteSource& map, std::span<const uint64_t> addresses,
                              std::span<const uint64_t> sizes);

// The file at `path`, when it may be believed: a regular file, no link, that belongs to `uid` or
// root, because anybody can write into /tmp.
Result<std::unique_ptr<ByteSource>> OpenPerfMap(const std::string& path, uint32_t uid);

}  // namespace sonde
