// SPDX-License-Identifier: Apache-2.0
// A CPU profile as `sonde cpu` tells it: the view of its CPU time, and what only CPU profiles have.
// Made from a decoded profile, rendered as text or JSON. Memory: see cli/profile_view.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/profile_view.h"

namespace sonde::cli {

struct CpuSummary {
  ProfileView view;
  int64_t time_unix_ms = 0;   // 0: the profile does not say
  double window_seconds = 0;  // 0: the profile does not say
  double rate_hz = 0;         // 0: the profile does not say
};

// The sentences that the agent wrote into the profile about what it does not see; none in other
// profiles.
std::vector<std::string> NotCoveredIn(const std::vector<std::string>& comments);
// What it says of its window: shorter than asked, gaps. None for a whole window.
std::vector<std::string> WindowNotesIn(const std::vector<std::string>& comments);
// The agent writes what it dropped; nullopt: this profile was not made by an agent, so nobody
// knows.
std::optional<std::vector<std::string>> DropsIn(const std::vector<std::string>& comments);

// Throws CliError: not a CPU profile, a bad regular expression.
CpuSummary SummariseCpu(pprof::Profile profile, const ReportQuestion& question);

}  // namespace sonde::cli
