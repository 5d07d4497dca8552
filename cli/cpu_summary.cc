// SPDX-License-Identifier: Apache-2.0
#include "cli/cpu_summary.h"

#include <algorithm>
#include <map>
#include <regex>
#include <tuple>
#include <utility>

#include "cli/outcome.h"
#include "profile/decode.h"
#include "profile/report.h"

namespace sonde::cli {
namespace {

using pprof::Profile;
using pprof::Sample;

constexpr double kNsPerSecond = 1e9;

using Matcher = std::optional<std::regex>;

Matcher Compile(const std::string& text, const char* option) {
  if (text.empty()) return std::nullopt;
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw UsageError(std::string(option) + " '" + text +
                     "' is no regular expression: " + error.what());
  }
}

const pprof::Label* FindLabel(const Profile& profile, const Sample& sample, std::string_view key) {
  for (const pprof::Label& label : sample.labels)
    if (profile.Text(label.key) == key) return &label;
  return nullptr;
}

// Which value of a sample is its CPU time, and what one of it is worth.
struct Value {
  std::string type;
  uint32_t index = 0;
  double ns = 1;
};

// CPU profiles hold samples/count and cpu/nanoseconds; some writers leave one of them out.
Value ChooseValue(const Profile& profile) {
  const uint32_t cpu = profile.SampleTypeIndex("cpu");
  if (cpu != pprof::kNone) {
    const std::string& unit = profile.Text(profile.sample_types[cpu].unit);
    return {"cpu", cpu, unit == "microseconds" ? 1e3 : unit == "milliseconds" ? 1e6 : 1};
  }
  const uint32_t count = profile.SampleTypeIndex("samples");
  if (count != pprof::kNone)
    return {"samples", count, profile.period > 0 ? static_cast<double>(profile.period) : 1};
  std::string types;
  for (const auto& type : profile.sample_types)
    types += (types.empty() ? "" : ", ") + profile.Text(type.type);
  throw Failure("this is no CPU profile: expected sample types samples and cpu, found " +
                (types.empty() ? "none" : types));
}

// The names of all frames, by location: innermost inlined function first.
std::vector<std::vector<std::string>> NameLocations(const Profile& profile) {
  std::vector<std::vector<std::string>> names;
  for (const pprof::Location& location : profile.locations) {
    std::vector<std::string>& frames = names.emplace_back();
    for (const pprof::Line& line : location.lines)
      if (line.function != pprof::kNone)
        frames.push_back(profile.Text(profile.functions[line.function].name));
    if (frames.empty()) frames.push_back(pprof::AddressName(profile, location));
  }
  return names;
}

// "[signal blocked]" stands for CPU time whose stack was not seen.
bool IsLoss(const std::string& leaf) {
  return leaf.size() > 2 && leaf.front() == '[' && leaf.back() == ']';
}

bool Heavier(const CpuThread& a, const CpuThread& b) {
  if (a.ns != b.ns) return a.ns > b.ns;
  return std::tie(a.pid, a.tid, a.name) < std::tie(b.pid, b.tid, b.name);
}

// Adds up what a report by name does not hold: totals, losses, threads, whole stacks.
class Summariser {
 public:
  Summariser(Profile profile, const CpuQuestion& question);
  CpuSummary Run();

 private:
  bool IsOfAskedProcess(const Sample& sample) const;
  bool Passes(const Sample& sample) const;
  std::vector<std::string> StackOf(const Sample& sample) const;
  double NsOf(const Sample& sample) const;
  void AddToTotals(const Sample& sample);
  void AddToThreads(const Sample& sample);
  void FillHeader();
  void FillThreads();
  void FillRows();

  Profile profile_;
  const CpuQuestion& question_;
  const Matcher focus_;
  const Matcher ignore_;
  const Value value_;
  const uint32_t count_;  // index of samples/count, or kNone
  const std::vector<std::vector<std::string>> names_;
  CpuSummary summary_;
  std::map<std::string, double> lost_;
  std::map<std::tuple<int64_t, int64_t, std::string>, double> threads_;  // pid, tid, name
  std::map<std::vector<std::string>, double> stacks_;
};

Summariser::Summariser(Profile profile, const CpuQuestion& question)
    : profile_(std::move(profile)),
      question_(question),
      focus_(Compile(question.focus, "--focus")),
      ignore_(Compile(question.ignore, "--ignore")),
      value_(ChooseValue(profile_)),
      count_(profile_.SampleTypeIndex("samples")),
      names_(NameLocations(profile_)) {}

bool Summariser::IsOfAskedProcess(const Sample& sample) const {
  if (question_.only_pid == 0) return true;
  const pprof::Label* pid = FindLabel(profile_, sample, "pid");
  return pid != nullptr && pid->number == question_.only_pid;
}

bool Summariser::Passes(const Sample& sample) const {
  bool focused = !focus_;
  for (const uint32_t location : sample.locations) {
    for (const std::string& name : names_[location]) {
      if (ignore_ && std::regex_search(name, *ignore_)) return false;
      focused = focused || std::regex_search(name, *focus_);
    }
  }
  return focused;
}

double Summariser::NsOf(const Sample& sample) const {
  return static_cast<double>(sample.values[value_.index]) * value_.ns;
}

std::vector<std::string> Summariser::StackOf(const Sample& sample) const {
  std::vector<std::string> stack;
  for (const uint32_t location : sample.locations)
    stack.insert(stack.end(), names_[location].begin(), names_[location].end());
  return stack;
}

void Summariser::AddToTotals(const Sample& sample) {
  const double ns = NsOf(sample);
  summary_.total_ns += ns;
  if (count_ != pprof::kNone) summary_.samples += static_cast<double>(sample.values[count_]);
  if (sample.locations.empty()) return;
  const std::string& leaf = names_[sample.locations[0]][0];
  if (!IsLoss(leaf)) return;
  summary_.lost_ns += ns;
  lost_[leaf] += ns;
}

void Summariser::AddToThreads(const Sample& sample) {
  const pprof::Label* name = FindLabel(profile_, sample, "thread");
  const pprof::Label* tid = FindLabel(profile_, sample, "tid");
  const pprof::Label* pid = FindLabel(profile_, sample, "pid");
  if (name == nullptr && tid == nullptr) return;
  threads_[{pid != nullptr ? pid->number : 0, tid != nullptr ? tid->number : 0,
            name != nullptr ? profile_.Text(name->text) : "?"}] += NsOf(sample);
}

void Summariser::FillHeader() {
  summary_.time_unix_ms = profile_.time_nanos / 1'000'000;
  summary_.window_seconds = static_cast<double>(profile_.duration_nanos) / kNsPerSecond;
  if (profile_.period > 0) summary_.rate_hz = kNsPerSecond / static_cast<double>(profile_.period);
  for (const pprof::StringId comment : profile_.comments)
    summary_.comments.push_back(profile_.Text(comment));
  for (const auto& [name, ns] : lost_) summary_.lost.push_back({name, ns, ns});
  for (const auto& [stack, ns] : stacks_)
    if (ns > summary_.heaviest.ns) summary_.heaviest = {stack, ns};
}

void Summariser::FillThreads() {
  for (const auto& [id, ns] : threads_)
    summary_.threads.push_back({std::get<2>(id), std::get<1>(id), std::get<0>(id), ns});
  std::sort(summary_.threads.begin(), summary_.threads.end(), Heavier);
}

void Summariser::FillRows() {
  if (question_.by == "thread") {
    for (const CpuThread& thread : summary_.threads) {
      const std::string tid = thread.tid > 0 ? " (tid " + std::to_string(thread.tid) + ")" : "";
      summary_.rows.push_back({thread.name + tid, thread.ns, thread.ns});
    }
    return;
  }
  pprof::ReportOptions options;
  options.sample_type = value_.type;
  if (question_.by == "mapping") options.group_by = pprof::GroupBy::kMapping;
  const auto report = pprof::MakeReport(profile_, options);
  if (!report.ok()) throw Failure("cannot read the profile: " + report.error());
  for (const pprof::Row& row : report->rows)
    summary_.rows.push_back({row.name, static_cast<double>(row.flat) * value_.ns,
                             static_cast<double>(row.cumulative) * value_.ns});
}

CpuSummary Summariser::Run() {
  std::erase_if(profile_.samples, [this](const Sample& s) { return !IsOfAskedProcess(s); });
  for (const Sample& sample : profile_.samples) AddToTotals(sample);
  std::erase_if(profile_.samples, [this](const Sample& s) { return !Passes(s); });
  for (const Sample& sample : profile_.samples) {
    summary_.shown_ns += NsOf(sample);
    stacks_[StackOf(sample)] += NsOf(sample);
    AddToThreads(sample);
  }
  FillHeader();
  FillThreads();
  FillRows();
  return std::move(summary_);
}

}  // namespace

std::vector<std::string> NotCoveredIn(const CpuSummary& summary) {
  constexpr std::string_view kSign = "not covered: ";
  std::vector<std::string> sentences;
  for (const std::string& comment : summary.comments)
    if (comment.starts_with(kSign)) sentences.push_back(comment.substr(kSign.size()));
  return sentences;
}

std::optional<std::vector<std::string>> DropsIn(const CpuSummary& summary) {
  constexpr std::string_view kSign = "dropped in this interval: ";
  const auto by_agent = [](const std::string& comment) { return comment.starts_with("sonde "); };
  if (std::none_of(summary.comments.begin(), summary.comments.end(), by_agent)) return std::nullopt;
  std::vector<std::string> drops;
  for (const std::string& comment : summary.comments)
    if (comment.starts_with(kSign)) drops.push_back(comment.substr(kSign.size()));
  return drops;
}

CpuSummary SummariseCpu(std::string_view profile_bytes, const CpuQuestion& question) {
  Result<Profile> profile = pprof::Decode(profile_bytes);
  if (!profile.ok()) throw Failure("not a profile: " + profile.error());
  return Summariser(std::move(*profile), question).Run();
}

}  // namespace sonde::cli
