// SPDX-License-Identifier: Apache-2.0
// The memory numbers of this process's cgroup, version 1 or 2, inside a container or not. Agent
// thread only; stateless. The parsers are pure and are fuzzed.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "collectors/memory_page.h"

namespace sonde {

// Where the memory controller's files are, and of which version.
struct CgroupPlace {
  int version = 0;
  std::string directory;
};

// From the texts of /proc/self/cgroup and /proc/self/mountinfo. A container without a cgroup
// namespace sees the host's path, of which only the part below the mount's root exists inside.
std::optional<CgroupPlace> FindMemoryCgroup(std::string_view cgroup, std::string_view mountinfo);

// Takes what memory.stat says into *out.
void ParseMemoryStat(std::string_view text, int version, CgroupMemory* out);

// Throws std::bad_alloc. Cold path only.
CgroupMemory ReadCgroupMemory();

}  // namespace sonde
