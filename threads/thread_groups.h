// SPDX-License-Identifier: Apache-2.0
// Threads that stand in one place, in one state: one group. Pure; the groups point into the dump.
#pragma once

#include <string>
#include <vector>

#include "collectors/thread_reader.h"

namespace sonde {

struct ThreadGroup {
  std::vector<const ThreadRecord*> threads;  // by tid; never empty
  [[nodiscard]] const ThreadRecord& first() const { return *threads.front(); }
};

// The largest group first; equal ones by their first tid.
std::vector<ThreadGroup> GroupThreads(const std::vector<ThreadRecord>& threads);

// "running", "waiting", "uninterruptible", "stopped" …
std::string StateName(const ThreadRecord& thread);

// "futex", "page fault" and the like; empty for a thread that runs.
std::string PlaceName(const ThreadRecord& thread);

// Why the stack is shorter than it might be, or not from now; empty: it is whole.
std::string StackNote(const ThreadRecord& thread);

// How the stack was come by.
const char* SourceName(StackSource source);

}  // namespace sonde
