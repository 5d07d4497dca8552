// SPDX-License-Identifier: Apache-2.0
// A CPU profile boiled down to what `sonde cpu` tells. Made from a decoded profile, rendered as
// text or JSON. Memory: proportional to the distinct functions of the profile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sonde::cli {

struct CpuQuestion {
  std::string by = "function";  // "function", "thread" or "mapping"
  std::string focus;            // regular expressions over function names; empty: everything
  std::string ignore;
  size_t top = 10;
  int only_pid = 0;  // 0: every process of the profile
};

struct CpuRow {
  std::string name;
  double flat_ns = 0;
  double cumulative_ns = 0;
};

struct CpuThread {
  std::string name;
  int64_t tid = 0;  // 0: the profile does not say
  int64_t pid = 0;
  double ns = 0;
};

struct CpuStack {
  std::vector<std::string> frames;  // leaf first
  double ns = 0;
};

struct CpuSummary {
  int64_t time_unix_ms = 0;   // 0: the profile does not say
  double window_seconds = 0;  // 0: the profile does not say
  double rate_hz = 0;         // 0: the profile does not say
  double samples = 0;         // as counted, of everything
  double total_ns = 0;        // of everything, before focus and ignore
  double shown_ns = 0;        // after them
  double lost_ns = 0;         // of frames that stand for a loss
  std::vector<CpuRow> lost;   // by their synthetic frame
  std::vector<CpuRow> rows;   // heaviest first, all of them
  std::vector<CpuThread> threads;
  CpuStack heaviest;
  std::vector<std::string> comments;
};

// The sentences that the agent wrote into the profile about what it does not see; none in other
// profiles.
std::vector<std::string> NotCoveredIn(const CpuSummary& summary);
// The agent writes what it dropped; nullopt: this profile was not made by an agent, so nobody
// knows.
std::optional<std::vector<std::string>> DropsIn(const CpuSummary& summary);

// Throws CliError: not a CPU profile, a bad regular expression, not a profile at all.
CpuSummary SummariseCpu(std::string_view profile_bytes, const CpuQuestion& question);

}  // namespace sonde::cli
