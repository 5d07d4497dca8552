// SPDX-License-Identifier: Apache-2.0
// Asks the allocator that serves malloc to give free memory back to the system, by its own call.
// Agent thread only, on request only. Memory: none of its own.
//
// What it costs the host. The function runs on the agent's thread inside the host's allocator:
//   glibc       malloc_trim walks each arena under its lock: 0.18 to 0.26 ms a MiB of blocks of 100
//               bytes, 0.04 of blocks of 5,000 (256 and 512 MiB, half of it free). Threads that
//               allocate from that arena wait. So without `force` only where kMaxStallMs are
//               enough.
//   gperftools, google, ours   hold the page heap's lock while pages are given back: asked for
//               kStepBytes at a time, so that nobody waits for more.
//   jemalloc    purges arena by arena and holds no lock while pages are given back.
//   mimalloc    gives back only what belongs to the calling thread: not asked.
#pragma once

#include <stdint.h>

#include <string>

#include "collectors/allocator_detect.h"
#include "collectors/memory_page_pages.h"
#include "collectors/process_memory.h"

namespace sonde {

struct ReleaseRequest {
  bool force = false;
  uint64_t heap_bytes = 0;                        // of the allocator, in memory
  uint64_t free_bytes = 0;                        // of them, kept for later
  WorkBudget budget;                              // of the steps
  uint64_t (*release)(uint64_t bytes) = nullptr;  // of our own allocator
};

struct ReleaseOutcome {
  bool done = false;
  std::string text;
};

inline constexpr double kTrimMsPerMiB = 0.26;
inline constexpr double kMaxStallMs = 20;
inline constexpr uint64_t kReleaseStepBytes = uint64_t{8} << 20;

// Throws std::bad_alloc. Cold path only.
ReleaseOutcome ReleaseFreeMemory(const ProcessMemory& memory, const DetectedAllocator& allocator,
                                 const ReleaseRequest& request);

}  // namespace sonde
