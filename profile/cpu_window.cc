// SPDX-License-Identifier: Apache-2.0
#include "profile/cpu_window.h"

#include <algorithm>
#include <span>
#include <utility>

#include "profile/time_text.h"

namespace sonde {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

void AddNewNames(const CpuWindow& window, std::vector<std::string>* notes) {
  constexpr size_t kMaxNotes = 8;
  for (size_t i = 0; i < std::min(window.new_names.size(), kMaxNotes); ++i) {
    const CpuWindow::NewNames& names = window.new_names[i];
    notes->push_back("the perf map of process " + std::to_string(names.pid) +
                     " was written anew at " + FormatTimeOfDay(names.unix_ns) +
                     " UTC: JIT code that ran before has the names of then");
  }
}

}  // namespace

std::vector<std::string> WindowNotes(const CpuWindow& window, int64_t asked_from_ns,
                                     int64_t asked_to_ns) {
  std::vector<std::string> notes;
  const int64_t asked_ns = asked_to_ns - asked_from_ns;
  if (window.covered_ns + kSecondNs <= asked_ns) {
    std::string note =
        "asked for " + FormatLength(asked_ns) + ", have " + FormatLength(window.covered_ns);
    const bool late = window.from_unix_ns >= asked_from_ns + kSecondNs;
    if (late && !window.begins_late.empty())
      note += ": " + window.begins_late + " (" + FormatTime(window.from_unix_ns) + ")";
    notes.push_back(std::move(note));
  }
  constexpr size_t kMaxGaps = 8;
  for (size_t i = 0; i < std::min(window.gaps.size(), kMaxGaps); ++i) {
    const CpuGap& gap = window.gaps[i];
    notes.push_back("gap " + FormatTimeOfDay(gap.from_unix_ns) + "-" +
                    FormatTimeOfDay(gap.to_unix_ns) + " UTC (" +
                    FormatLength(gap.to_unix_ns - gap.from_unix_ns) + "): " + gap.reason);
  }
  if (window.gaps.size() > kMaxGaps)
    notes.push_back(std::to_string(window.gaps.size() - kMaxGaps) + " more gaps");
  AddNewNames(window, &notes);
  return notes;
}

ProfileOptions CpuProfileOptions(const CpuWindow& window) {
  ProfileOptions options;
  options.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  options.default_sample_type = "cpu";
  options.period_type = {"cpu", "nanoseconds"};
  options.period = window.rate_hz > 0 ? kSecondNs / window.rate_hz : 0;
  options.time_nanos = window.from_unix_ns;
  options.duration_nanos = window.covered_ns;
  return options;
}

bool AddCpuSample(const CpuSample& sample, std::string_view thread, size_t address_space,
                  ProfileBuilder* builder) {
  const std::string_view leaf[] = {sample.synthetic_leaf};
  const std::string_view root[] = {sample.synthetic_root};
  const int64_t values[] = {sample.count, sample.cpu_ns};
  const SampleLabel labels[] = {{.key = "thread", .text = thread, .unit = {}},
                                {.key = "tid", .text = {}, .number = sample.tid, .unit = {}},
                                {.key = "pid", .text = {}, .number = sample.pid, .unit = {}}};
  SampleInput input;
  input.frames = sample.frames;
  if (!sample.synthetic_leaf.empty()) input.leaf_names = leaf;
  if (!sample.synthetic_root.empty()) input.root_names = root;
  input.values = values;
  // A label without a text would be read as the number 0.
  input.labels = std::span(labels).subspan(thread.empty() ? 1 : 0);
  input.address_space = address_space;
  return builder->AddSample(input);
}

}  // namespace sonde
