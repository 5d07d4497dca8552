// SPDX-License-Identifier: Apache-2.0
// The executable mappings of a process as pprof wants them: start, limit and file offset of each
// executable piece of each file. Used by the agent (its own process and its children) and by the
// CLI (any pid). Pure functions. Memory: one Mapping an executable piece, at most kMaxMappings; the
// text itself is read in pieces of 64 KiB and never kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "profile/byte_source.h"
#include "profile/perf_map.h"
#include "profile/result.h"

namespace sonde {

struct Mapping {
  uint64_t start = 0;
  uint64_t limit = 0;   // one past the last byte
  uint64_t offset = 0;  // of `start` in the file
  std::string path;  // "[vdso]" and the like as the kernel says; "//anon" for code without a file
  std::string build_id;  // lower-case hex; empty: unknown
  bool deleted = false;  // the file was unlinked or replaced after it was mapped
  uint64_t inode = 0;    // 0: no file
  std::string device;    // "major:minor" as the kernel writes it
  // Where offset 0 of this image is mapped, and up to where without a gap; 0: it is not.
  uint64_t image_start = 0;
  uint64_t image_limit = 0;
  int pid = 0;                // whose memory it is; only of what is no intact file, see SetOwner()
  PerfMapTime perf_map = {};  // of generated code: when its addresses were sampled

  bool Contains(uint64_t address) const { return address >= start && address < limit; }
  // A file of the file system, whatever its state now.
  bool IsFile() const { return !path.empty() && path[0] == '/' && path[1] != '/'; }
  // Code that some program made at run time, which only a perf map can name.
  bool IsGenerated() const;
  bool operator==(const Mapping&) const = default;
};

inline constexpr size_t kMaxMappings = 16384;

struct MappingTable {
  std::vector<Mapping> mappings;  // by address; executable only
  size_t dropped = 0;  // executable pieces beyond kMaxMappings, or lines that make no sense
};

// The text of /proc/PID/maps. Executable neighbours of one file whose offsets continue are one
// mapping.
MappingTable ParseMaps(std::string_view text);

// The same, read from the "maps" file of an open /proc/PID directory, with the main program moved
// to the front, which is where pprof looks for it.
Result<MappingTable> ReadMaps(int proc_dir_fd);
Result<MappingTable> ReadMapsOfPid(int pid);

// Notes whose they are in those mappings that cannot be told by their file: generated code, and
// files that are gone. The others are the same for every process of a tree.
void SetOwner(int pid, std::vector<Mapping>* mappings);

// Moves the mapping that holds `address` to the front; false if none does.
bool MoveMainFirst(uint64_t address, std::vector<Mapping>* mappings);

// Moves the first mapping of `path` to the front, keeping the order of the others.
void MoveMainFirst(std::string_view path, std::vector<Mapping>* mappings);

// Fills in the build ids that are missing: from memory where `reader` is given (true also for files
// that were replaced since), else from the files. What cannot be read stays empty.
void AddBuildIds(const MemoryReader& reader, std::vector<Mapping>* mappings);

}  // namespace sonde
