// SPDX-License-Identifier: Apache-2.0
// The dynamic loader's list of objects, read without its lock: dl_iterate_phdr holds a lock that
// fork copies into the child, where nobody ever gives it back, and the child's next dlopen hangs.
// A list that changes while it is read gives a wrong answer, never a fault, and a different one
// the next time. Used by unwind_tables.cc on the agent thread. Stateless.
#pragma once

#include <stdint.h>

#include <vector>

#include "collectors/process_memory.h"

namespace sonde {

// A number that changes with the list; at most one read of a page for each object. Appends to
// `dynamics`, unless that is null, where each object's dynamic section is. Throws std::bad_alloc.
// Cold path only.
uint64_t ReadLinkMaps(const ProcessMemory& memory, std::vector<uint64_t>* dynamics);

}  // namespace sonde
