// SPDX-License-Identifier: Apache-2.0
// The text heap profiles of gperftools (HEAPPROFILE, GetHeapSample, pprof/heap) and jemalloc
// (prof.dump) to a profile in memory. Used by the CLI on files that users have, so nothing in the
// text is trusted. Pure functions. Memory: bounded by LegacyHeapLimits.
//
//   heap profile: 2: 80 [ 9: 400] @ heap_v2/524288    gperftools; "heapprofile": every block
//      1: 40 [ 5: 200] @ 0x55d4b9548195 0x55d4b95481c6
//   heap_v2/524288                                    jemalloc
//     t*: 2: 80 [9: 400]                              of all threads
//   @ 0x55d4b9548195 0x55d4b95481c6
//     t*: 1: 40 [5: 200]
//     t3: 1: 40 [5: 200]                              of one: skipped
//   MAPPED_LIBRARIES:                                 both; lines of /proc/PID/maps
//
// A block of S bytes is in a sampled profile with probability 1 - exp(-S/interval): the counts of a
// stack are divided by it, at the stack's mean size. "heap/N" (without _v2) means an interval of
// N/2.
#pragma once

#include <cstddef>
#include <string_view>

#include "profile/pprof.h"
#include "profile/result.h"

namespace sonde::pprof {

struct LegacyHeapLimits {
  size_t max_bytes = size_t{256} << 20;
  size_t max_stacks = 1 << 20;
  size_t max_frames = 1 << 10;  // of one stack; further ones are cut
};

// By its first line; says nothing about the rest.
bool LooksLikeLegacyHeap(std::string_view text);

// Sample types alloc_objects, alloc_space, inuse_objects, inuse_space, as Go's heap profile has.
// The error names the line.
Result<Profile> ParseLegacyHeap(std::string_view text, const LegacyHeapLimits& limits = {});

// Names for the frames, from the files that the mappings name, where this machine has them.
void SymbolizeFromFiles(Profile* profile);

}  // namespace sonde::pprof
