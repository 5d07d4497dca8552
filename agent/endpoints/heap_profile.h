// SPDX-License-Identifier: Apache-2.0
// Heap samples of a process tree to pprof, with Go's four sample types: one builder call for the
// endpoint, without HTTP. Agent thread only. Memory: see profile/profile_builder.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/endpoints/heap_source.h"
#include "profile/symbolizer.h"

namespace sonde {

struct HeapProfileInput {
  HeapSnapshot snapshot;
  std::string default_type;   // "inuse_space", "alloc_space"
  int64_t begin_unix_ns = 0;  // of a delta: when it began; else of the snapshot
  int64_t duration_ns = 0;    // of a delta
  std::vector<std::string> comments;
};

// Gzipped profile.proto, with names where `symbolizer` finds them.
std::string BuildHeapProfile(const HeapProfileInput& input, AgentSources* sources,
                             Symbolizer* symbolizer);

// As text, in the format of gperftools' heap profiles ("heapprofile": estimates, not to be scaled),
// which `go tool pprof` reads too; then the mappings of the main process.
std::string HeapText(const HeapSnapshot& snapshot, AgentSources* sources);

// What `after` has more than `before`; in use may be less than nothing.
HeapSnapshot HeapDelta(const HeapSnapshot& before, HeapSnapshot after);

}  // namespace sonde
