// SPDX-License-Identifier: Apache-2.0
// CPU samples of a process tree to pprof: one builder call for the endpoint, without HTTP. Agent
// thread only. Memory: see profile/profile_builder.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"
#include "profile/cpu_window.h"
#include "profile/symbolizer.h"

namespace sonde {

struct CpuProfileInput {
  CpuWindow window;
  std::vector<NamedCount> dropped;  // in this interval
  std::vector<std::string> notes;   // WindowNotes
};

// Gzipped profile.proto, with names where `symbolizer` finds them.
std::string BuildCpuProfile(const CpuProfileInput& input, AgentSources* sources,
                            Symbolizer* symbolizer);

// What `after` has more than `before`, by name.
std::vector<NamedCount> CountsSince(const std::vector<NamedCount>& before,
                                    const std::vector<NamedCount>& after);

// The executable mappings of a process of the tree, build ids included, the main program first.
std::vector<Mapping> MappingsOf(int pid, const AgentStatus& status, AgentSources* sources);

}  // namespace sonde
