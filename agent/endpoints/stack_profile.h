// SPDX-License-Identifier: Apache-2.0
// Two counts per call stack, in the forms in which Go serves its profiles: threadcreate, mutex,
// block. Without HTTP. Agent thread only. Memory: see profile/profile_builder.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/endpoints/context.h"
#include "profile/profile_builder.h"

namespace sonde {

struct StackSample {
  std::vector<uint64_t> frames;  // leaf first; empty: `synthetic_leaf` alone
  bool leaf_is_return_address = true;
  std::string synthetic_leaf;  // "[unknown creator]" and the like
  int pid = 0;
  int tid = 0;  // 0: of no single thread
  std::vector<std::pair<std::string, std::string>> labels;
  std::array<int64_t, 2> values{};
};

struct StackProfile {
  std::string name;        // "threadcreate"
  ProfileOptions options;  // two sample types
  std::vector<StackSample> samples;
  size_t text_value = 0;  // by which of the values the text counts
  std::vector<NamedCount> lost;
};

// Gzipped profile.proto, with names where `symbolizer` finds them.
std::string BuildStackProfile(const StackProfile& profile, AgentSources* sources,
                              Symbolizer* symbolizer);

// In the layout of Go's debug=1, which pprof reads for profiles that count one thing.
std::string StackText(const StackProfile& profile, Context* context);

// What `after` has more than `before`. Values may be less than nothing.
StackProfile StackDelta(const StackProfile& before, StackProfile after);

}  // namespace sonde
