// SPDX-License-Identifier: Apache-2.0
// The unwind tables of this process and of the children that it forks, in memory that they share,
// and the samples that wait for them, in memory that they do not.
//
// Made once a process image and never destroyed: when the agent's thread pauses, a host thread may
// still be inside a handler that walks with them. A child that takes the tree over makes its own,
// for itself and the children it forks from then on. Agent thread only.
#pragma once

#include <cstdint>

#include "collectors/unwind_tables.h"

namespace sonde::life {

// A quarter of the memory limit is for the tables; the rest is the arena's and the region's. Throws
// std::bad_alloc.
UnwindTables* TheUnwindTables(int64_t memory_limit_bytes);

// In a forked child, before it may take the tree over.
void UnwindTablesAfterFork();

}  // namespace sonde::life
