// SPDX-License-Identifier: Apache-2.0
// The addresses of each process of the tree belong to its own mappings: told to a profile builder
// once a process. Agent thread only; lives as long as one answer.
#pragma once

#include <cstddef>
#include <map>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/sources.h"
#include "profile/profile_builder.h"

namespace sonde {

class AddressSpaces {
 public:
  // The main process first: its program is the profile's.
  AddressSpaces(const AgentStatus& status, AgentSources* sources, ProfileBuilder* builder)
      : status_(status), sources_(sources), builder_(builder) {
    builder_->SetMappings(MappingsOf(status.pid, status, sources));
    spaces_[status.pid] = 0;
  }
  size_t Of(int pid) {
    const auto known = spaces_.find(pid);
    if (known != spaces_.end()) return known->second;
    return spaces_[pid] = builder_->AddMappings(MappingsOf(pid, status_, sources_));
  }

 private:
  const AgentStatus& status_;
  AgentSources* const sources_;
  ProfileBuilder* const builder_;
  std::map<int, size_t> spaces_;
};

}  // namespace sonde
