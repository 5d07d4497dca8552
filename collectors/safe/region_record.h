// SPDX-License-Identifier: Apache-2.0
// The one call of a collector's hot path: count this on that stack. Called by signal handlers and
// hooks, in any thread of any process of the tree. Thread-safety: lock-free, bounded. No memory of
// its own.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

// Async-signal-safe. Counts `events` (≥ 1) and `amount` for the calling thread. What cannot be
// counted is counted as lost under the reason that is returned; kNone: recorded.
DropReason RecordStack(const Region& region, const StackContent& stack, ThreadId thread, Kind kind,
                       uint64_t events, uint64_t amount);

// Async-signal-safe. Who writes, as a stack slot in state writing names it, and back.
uint64_t WriterOf(ThreadId thread);
ThreadId ThreadOfWriter(uint64_t writer);

}  // namespace sonde
