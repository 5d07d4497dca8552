// SPDX-License-Identifier: Apache-2.0
// Lines and inlined functions of one object's addresses, from its DWARF, wherever libdw finds that:
// in the object, in a separate file by build id or .gnu_debuglink, from debuginfod where
// DEBUGINFOD_URLS names a server. Used in a worker process (line_worker.h), because DWARF is
// foreign input to a large parser. Memory: what libdw keeps of the units that hold addresses.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sonde::cli {

struct SourceFrame {
  std::string function;  // as linked, or as in the source where it has no linkage name
  std::string file;
  int64_t line = 0;
  int64_t start_line = 0;
};

// What is found for addresses[index]: innermost inlined function first, the real one last.
using FoundLines = std::function<void(size_t index, const std::vector<SourceFrame>& frames)>;

// `addresses` are the object's link-time addresses, sorted. `debug_path` is a list of directories
// as libdwfl takes it. Empty, or why there are no lines; what was found before stays.
std::string LookUpLines(const std::string& object_path, const std::string& debug_path,
                        const std::vector<uint64_t>& addresses, const FoundLines& found);

}  // namespace sonde::cli
