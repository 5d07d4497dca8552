// SPDX-License-Identifier: Apache-2.0
#include "cli/cpu_summary.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <unordered_map>

#include "cli/outcome.h"
#include "profile/decode.h"

namespace sonde::cli {
namespace {

using pprof::Profile;
using pprof::Sample;

constexpr double kNsPerSecond = 1e9;

struct Filter {
  std::optional<std::regex> focus;
  std::optional<std::regex> ignore;
};

std::optional<std::regex> Compile(const std::string& text, const char* option) {
  if (text.empty()) return std::nullopt;
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw UsageError(std::string(option) + " '" + text +
                     "' is no regular expression: " + error.what());
  }
}

// Reads a profile once and adds up; every name is made once a location.
class Summariser {
 public:
  Summariser(const Profile& profile, const CpuQuestion& question);
  CpuSummary Run();

 private:
  struct Frames {
    std::vector<std::string> names;  // innermost inlined first
    std::string mapping;
  };

  void ChooseValue();
  void NameLocations();
  bool Passes(const Sample& sample) const;
  bool IsOfAskedProcess(const Sample& sample) const;
  double NsOf(const Sample& sample) const;
  std::vector<std::string> StackOf(const Sample& sample) const;
  void Add(const Sample& sample);
  void AddRows(const Sample& sample, const std::vector<std::string>& stack, double ns);
  void AddThread(const Sample& sample, double ns);
  void Finish();
  const pprof::Label* Find(const Sample& sample, std::string_view key) const;

  const Profile& profile_;
  const CpuQuestion& question_;
  Filter filter_;
  uint32_t value_ = 0;  // which value of a sample is its CPU time, or its count
  uint32_t count_ = pprof::kNone;
  double ns_per_value_ = 1;
  std::vector<Frames> frames_;  // by location
  CpuSummary summary_;
  std::unordered_map<std::string, CpuRow> rows_;
  std::map<std::string, CpuRow> lost_;
  std::map<std::pair<int64_t, int64_t>, CpuThread> threads_by_id_;
  std::map<std::string, CpuThread> threads_by_name_;
  std::map<std::vector<std::string>, double> stacks_;
};

Summariser::Summariser(const Profile& profile, const CpuQuestion& question)
    : profile_(profile),
      question_(question),
      filter_{Compile(question.focus, "--focus"), Compile(question.ignore, "--ignore")} {
  ChooseValue();
  NameLocations();
}

// CPU profiles hold samples/count and cpu/nanoseconds; some writers leave one of them out.
void Summariser::ChooseValue() {
  count_ = profile_.SampleTypeIndex("samples");
  const uint32_t cpu = profile_.SampleTypeIndex("cpu");
  if (cpu != pprof::kNone) {
    value_ = cpu;
    const std::string& unit = profile_.Text(profile_.sample_types[cpu].unit);
    ns_per_value_ = unit == "microseconds" ? 1e3 : unit == "milliseconds" ? 1e6 : 1;
    return;
  }
  if (count_ == pprof::kNone) {
    std::string types;
    for (const auto& type : profile_.sample_types)
      types += (types.empty() ? "" : ", ") + profile_.Text(type.type);
    throw Failure("this is no CPU profile: expected sample types samples and cpu, found " +
                  (types.empty() ? "none" : types));
  }
  value_ = count_;
  ns_per_value_ = profile_.period > 0 ? static_cast<double>(profile_.period) : 1;
}

std::string HexAddress(uint64_t address) {
  char text[32];
  snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
  return text;
}

std::string FileName(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() ? path : name;
}

void Summariser::NameLocations() {
  for (const pprof::Location& location : profile_.locations) {
    Frames frames;
    const bool mapped = location.mapping != pprof::kNone;
    const pprof::Mapping* mapping = mapped ? &profile_.mappings[location.mapping] : nullptr;
    frames.mapping = mapped ? FileName(profile_.Text(mapping->file)) : "[no mapping]";
    for (const pprof::Line& line : location.lines)
      if (line.function != pprof::kNone)
        frames.names.push_back(profile_.Text(profile_.functions[line.function].name));
    if (frames.names.empty())  // not symbolised: what an offline tool needs to find the name
      frames.names.push_back(
          mapped ? frames.mapping + "+" +
                       HexAddress(location.address - mapping->start + mapping->offset)
                 : HexAddress(location.address));
    frames_.push_back(std::move(frames));
  }
}

const pprof::Label* Summariser::Find(const Sample& sample, std::string_view key) const {
  for (const pprof::Label& label : sample.labels)
    if (profile_.Text(label.key) == key) return &label;
  return nullptr;
}

bool Summariser::IsOfAskedProcess(const Sample& sample) const {
  if (question_.only_pid == 0) return true;
  const pprof::Label* pid = Find(sample, "pid");
  return pid != nullptr && pid->number == question_.only_pid;
}

bool Summariser::Passes(const Sample& sample) const {
  bool focused = !filter_.focus;
  for (const uint32_t location : sample.locations) {
    for (const std::string& name : frames_[location].names) {
      if (filter_.ignore && std::regex_search(name, *filter_.ignore)) return false;
      if (!focused) focused = std::regex_search(name, *filter_.focus);
    }
  }
  return focused;
}

double Summariser::NsOf(const Sample& sample) const {
  return static_cast<double>(sample.values[value_]) * ns_per_value_;
}

std::vector<std::string> Summariser::StackOf(const Sample& sample) const {
  std::vector<std::string> stack;
  for (const uint32_t location : sample.locations)
    stack.insert(stack.end(), frames_[location].names.begin(), frames_[location].names.end());
  return stack;
}

void Summariser::AddRows(const Sample& sample, const std::vector<std::string>& stack, double ns) {
  std::set<std::string> seen;  // recursion counts once in cumulative
  const auto add = [&](const std::string& name, bool leaf) {
    CpuRow& row = rows_[name];
    if (leaf) row.flat_ns += ns;
    if (seen.insert(name).second) row.cumulative_ns += ns;
  };
  if (question_.by == "mapping") {
    for (size_t i = 0; i < sample.locations.size(); ++i)
      add(frames_[sample.locations[i]].mapping, i == 0);
    return;
  }
  for (size_t i = 0; i < stack.size(); ++i) add(stack[i], i == 0);
}

void Summariser::AddThread(const Sample& sample, double ns) {
  const pprof::Label* name = Find(sample, "thread");
  const pprof::Label* tid = Find(sample, "tid");
  const pprof::Label* pid = Find(sample, "pid");
  if (name == nullptr && tid == nullptr) return;
  const std::string text = name != nullptr ? profile_.Text(name->text) : "?";
  CpuThread& thread = tid != nullptr
                          ? threads_by_id_[{pid != nullptr ? pid->number : 0, tid->number}]
                          : threads_by_name_[text];
  thread.name = text;
  thread.tid = tid != nullptr ? tid->number : 0;
  thread.pid = pid != nullptr ? pid->number : 0;
  thread.ns += ns;
}

// "[signal blocked]" stands for CPU time whose stack was not seen.
bool IsLoss(const std::string& leaf) {
  return leaf.size() > 2 && leaf.front() == '[' && leaf.back() == ']';
}

void Summariser::Add(const Sample& sample) {
  if (sample.values.size() != profile_.sample_types.size() || !IsOfAskedProcess(sample)) return;
  const double ns = NsOf(sample);
  const std::vector<std::string> stack = StackOf(sample);
  summary_.total_ns += ns;
  if (count_ != pprof::kNone) summary_.samples += static_cast<double>(sample.values[count_]);
  if (!stack.empty() && IsLoss(stack[0])) {
    summary_.lost_ns += ns;
    lost_[stack[0]].flat_ns += ns;
  }
  if (!Passes(sample)) return;
  summary_.shown_ns += ns;
  AddRows(sample, stack, ns);
  AddThread(sample, ns);
  stacks_[stack] += ns;
}

void Summariser::Finish() {
  for (auto& [name, row] : rows_) summary_.rows.push_back({name, row.flat_ns, row.cumulative_ns});
  for (auto& [name, row] : lost_) summary_.lost.push_back({name, row.flat_ns, row.flat_ns});
  for (auto& [id, thread] : threads_by_id_) summary_.threads.push_back(thread);
  for (auto& [name, thread] : threads_by_name_) summary_.threads.push_back(thread);
  std::sort(summary_.threads.begin(), summary_.threads.end(),
            [](const CpuThread& a, const CpuThread& b) {
              return a.ns != b.ns ? a.ns > b.ns
                                  : std::tie(a.pid, a.tid, a.name) < std::tie(b.pid, b.tid, b.name);
            });
  if (question_.by == "thread") {
    summary_.rows.clear();
    for (const CpuThread& thread : summary_.threads)
      summary_.rows.push_back(
          {thread.name + (thread.tid > 0 ? " (tid " + std::to_string(thread.tid) + ")" : ""),
           thread.ns, thread.ns});
  }
  std::sort(summary_.rows.begin(), summary_.rows.end(), [](const CpuRow& a, const CpuRow& b) {
    if (a.flat_ns != b.flat_ns) return a.flat_ns > b.flat_ns;
    return a.cumulative_ns != b.cumulative_ns ? a.cumulative_ns > b.cumulative_ns : a.name < b.name;
  });
  for (const auto& [stack, ns] : stacks_)
    if (ns > summary_.heaviest.ns) summary_.heaviest = {stack, ns};
}

CpuSummary Summariser::Run() {
  summary_.time_unix_ms = profile_.time_nanos / 1'000'000;
  summary_.window_seconds = static_cast<double>(profile_.duration_nanos) / kNsPerSecond;
  if (profile_.period > 0) summary_.rate_hz = kNsPerSecond / static_cast<double>(profile_.period);
  for (const pprof::StringId comment : profile_.comments)
    summary_.comments.push_back(profile_.Text(comment));
  for (const Sample& sample : profile_.samples) Add(sample);
  Finish();
  return std::move(summary_);
}

}  // namespace

CpuSummary SummariseCpu(std::string_view profile_bytes, const CpuQuestion& question) {
  const Result<Profile> profile = pprof::Decode(profile_bytes);
  if (!profile.ok()) throw Failure("not a profile: " + profile.error());
  return Summariser(*profile, question).Run();
}

}  // namespace sonde::cli
