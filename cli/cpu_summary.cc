// SPDX-License-Identifier: Apache-2.0
#include "cli/cpu_summary.h"

#include <algorithm>
#include <utility>

#include "profile/cpu_window.h"

namespace sonde::cli {
namespace {

constexpr double kNsPerSecond = 1e9;

std::vector<std::string> After(std::string_view sign, const std::vector<std::string>& comments) {
  std::vector<std::string> rest;
  for (const std::string& comment : comments)
    if (comment.starts_with(sign)) rest.push_back(comment.substr(sign.size()));
  return rest;
}

}  // namespace

std::vector<std::string> NotCoveredIn(const std::vector<std::string>& comments) {
  return After("not covered: ", comments);
}

std::vector<std::string> WindowNotesIn(const std::vector<std::string>& comments) {
  return After(kWindowComment, comments);
}

std::optional<std::vector<std::string>> DropsIn(const std::vector<std::string>& comments) {
  const auto by_agent = [](const std::string& comment) { return comment.starts_with("sonde "); };
  if (std::none_of(comments.begin(), comments.end(), by_agent)) return std::nullopt;
  return After("dropped in this interval: ", comments);
}

CpuSummary SummariseCpu(pprof::Profile profile, const ReportQuestion& question) {
  ValueChoice value = ChooseCpuValue(profile);
  CpuSummary summary{ProfileView(std::move(profile), question, std::move(value))};
  const pprof::Profile& kept = summary.view.profile();
  summary.time_unix_ms = kept.time_nanos / 1'000'000;
  summary.window_seconds = static_cast<double>(kept.duration_nanos) / kNsPerSecond;
  if (kept.period > 0) summary.rate_hz = kNsPerSecond / static_cast<double>(kept.period);
  return summary;
}

}  // namespace sonde::cli
