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

inline constexpr char kStateLabel[] = "state";

// Something that goes on, the same in each profile, and what of it is counted. `counted_later`:
// when it has ended, its whole is in the sample that is alike but for the label kStateLabel.
struct OpenStackPart {
  uint64_t id = 0;
  std::array<int64_t, 2> values{};
  bool counted_later = false;
};

struct StackSample {
  std::vector<uint64_t> frames;  // leaf first; empty: `synthetic_leaf` alone
  bool leaf_is_return_address = true;
  std::string synthetic_leaf;  // "[unknown creator]" and the like
  int pid = 0;
  int tid = 0;  // 0: of no single thread
  std::vector<std::pair<std::string, std::string>> labels;
  std::array<int64_t, 2> values{};
  // The single things that go on, of which the values are the sums; empty: they have ended.
  std::vector<OpenStackPart> open = {};
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

// What `after` has more than `before`. Values may be less than nothing; of what went on at `before`
// and has ended, the part that was there already is taken off its whole.
StackProfile StackDelta(const StackProfile& before, StackProfile after);

}  // namespace sonde
