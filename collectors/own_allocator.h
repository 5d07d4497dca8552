// SPDX-License-Identifier: Apache-2.0
// The allocator that the agent's library itself brings for the service: libsonde-tcmalloc.so. In
// libsonde.so there is none. Filled in by the composition root, asked by the agent's thread.
#pragma once

#include <cstdint>

#include "collectors/memory_page.h"

namespace sonde {

struct OwnAllocator {
  bool serves = false;                  // malloc of this process; then the two below are set
  AllocatorNumbers (*ask)() = nullptr;  // takes each of its locks once, for microseconds
  // Gives back at least so many bytes of whole free pages; returns how many. Holds its lock.
  uint64_t (*release)(uint64_t bytes) = nullptr;
};

}  // namespace sonde
