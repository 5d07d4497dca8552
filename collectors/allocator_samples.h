// SPDX-License-Identifier: Apache-2.0
// What an allocator has sampled itself, where the hooks do not see its calls: jemalloc with `prof`
// or gperftools' tcmalloc with TCMALLOC_SAMPLE_PARAMETER, linked into the program or ahead of
// libsonde.so. Agent thread only, on request only.
//
// What asking costs the host: jemalloc's prof.dump writes its profile to a file of ours in memory,
// which nobody else sees, 2 to 5 ms for 16,384 stacks. Meanwhile a thread whose allocation is
// sampled (one in 512 KiB) waits for it; the others go on. So not again within kRestShare times
// what it took. tcmalloc: allocator_gperftools.h. Memory: the text, at most kMaxDumpBytes, and the
// stacks.
//
// Google's tcmalloc is not asked: its samples are to be had only by C++ functions that give
// std::string and types of absl, which are not the same from build to build.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/allocator_detect.h"

namespace sonde {

// Estimates, as those of our own samples.
struct AllocatorStack {
  std::vector<uint64_t> frames;  // return addresses, leaf first
  int64_t alloc_objects = 0;     // since start; 0 without prof_accum
  int64_t alloc_bytes = 0;
  int64_t inuse_objects = 0;
  int64_t inuse_bytes = 0;
};

struct AllocatorSamples {
  std::vector<AllocatorStack> stacks;
  int64_t interval_bytes = 0;
  std::string problem;  // why there are none, or not all
};

struct UnseenSampling {
  bool on = false;      // the hooks do not see its calls, but it samples by itself, by its own word
  std::string why_not;  // a clause: where they do not, and it could, but does not
};
// Cold path only.
UnseenSampling LookAtSampling(const ProcessMemory& memory, const DetectedAllocator& allocator,
                              bool hooks_bypassed);

// Of one that is on. Throws std::bad_alloc. Cold path only.
AllocatorSamples ReadAllocatorSamples(const ProcessMemory& memory,
                                      const DetectedAllocator& allocator);

// A dump of jemalloc ("heap_v2/524288", "t*: 1: 40 [5: 200]", "@ 0x… 0x…"). Pure; nothing in the
// text is trusted.
AllocatorSamples ParseJemallocDump(std::string_view text);

inline constexpr size_t kMaxDumpBytes = size_t{32} << 20;
inline constexpr size_t kMaxAllocatorStacks = 1 << 16;

}  // namespace sonde
