// SPDX-License-Identifier: Apache-2.0
#include "cli/profile_view.h"

#include <algorithm>
#include <map>
#include <regex>
#include <tuple>
#include <utility>

#include "cli/outcome.h"
#include "profile/decode.h"

namespace sonde::cli {
namespace {

using pprof::Label;
using pprof::Profile;
using pprof::Sample;

// The key under which a sample carries its thread's full name: no profile has such a label.
constexpr const char* kThreadKey = "\x01thread";

pprof::NameMatcher Compile(const std::string& text, const char* option) {
  if (text.empty()) return nullptr;
  try {
    std::regex pattern(text, std::regex::ECMAScript | std::regex::optimize);
    return [pattern = std::move(pattern)](std::string_view name) {
      return std::regex_search(name.begin(), name.end(), pattern);
    };
  } catch (const std::regex_error& error) {
    throw UsageError(std::string(option) + " '" + text +
                     "' is no regular expression: " + error.what());
  }
}

const Label* FindLabel(const Profile& profile, const Sample& sample, std::string_view key) {
  for (const Label& label : sample.labels)
    if (profile.Text(label.key) == key) return &label;
  return nullptr;
}

std::string SampleTypes(const Profile& profile) {
  std::string types;
  for (const auto& type : profile.sample_types)
    types += (types.empty() ? "" : ", ") + profile.Text(type.type);
  return types.empty() ? "none" : types;
}

double NanosecondsIn(const std::string& unit) {
  if (unit == "microseconds") return 1e3;
  if (unit == "milliseconds") return 1e6;
  return unit == "seconds" ? 1e9 : 1;
}

// "[signal blocked]" stands for something whose stack was not seen.
bool IsLoss(const std::string& leaf) {
  return leaf.size() > 2 && leaf.front() == '[' && leaf.back() == ']';
}

bool Heavier(const ReportThread& a, const ReportThread& b) {
  if (a.value != b.value) return a.value > b.value;
  return std::tie(a.pid, a.tid, a.name) < std::tie(b.pid, b.tid, b.name);
}

}  // namespace

Profile ReadProfile(std::string_view bytes) {
  Result<Profile> profile = pprof::Decode(bytes);
  if (!profile.ok()) throw Failure("not a profile: " + profile.error());
  return std::move(*profile);
}

ValueChoice ChooseValue(const Profile& profile, const std::string& type) {
  const auto index = pprof::ChooseSampleType(profile, type);
  if (!index.ok())
    throw Failure("this profile has no " + type + ": it has " + SampleTypes(profile));
  const pprof::ValueType& found = profile.sample_types[*index];
  return {*index, profile.Text(found.type), profile.Text(found.unit), 1};
}

// CPU profiles hold samples/count and cpu/nanoseconds; some writers leave one of them out.
ValueChoice ChooseCpuValue(const Profile& profile) {
  const uint32_t cpu = profile.SampleTypeIndex("cpu");
  if (cpu != pprof::kNone)
    return {cpu, "cpu", "nanoseconds", NanosecondsIn(profile.Text(profile.sample_types[cpu].unit))};
  const uint32_t count = profile.SampleTypeIndex("samples");
  if (count == pprof::kNone)
    throw Failure("this is no CPU profile: expected sample types samples and cpu, found " +
                  SampleTypes(profile));
  const double period = profile.period > 0 ? static_cast<double>(profile.period) : 1;
  return {count, "samples", "nanoseconds",
          period * NanosecondsIn(profile.Text(profile.period_type.unit))};
}

std::string PlaceOf(const std::string& file, int64_t line) {
  if (file.empty()) return "";
  const std::string name = file.substr(file.rfind('/') + 1);
  return line > 0 ? name + ":" + std::to_string(line) : name;
}

ProfileView::ProfileView(Profile profile, const ReportQuestion& question, ValueChoice value)
    : profile_(std::move(profile)), question_(question), value_(std::move(value)) {
  pprof::Filter filter;
  filter.focus = Compile(question.focus, "--focus");
  filter.ignore = Compile(question.ignore, "--ignore");
  KeepAskedProcess();
  AddTotals();
  pprof::ApplyFilter(filter, &profile_);
  for (const Sample& sample : profile_.samples) shown_ += ValueOf(sample);
  AddThreads();
  if (question.by == "thread") MarkThreads();
}

void ProfileView::KeepAskedProcess() {
  if (question_.only_pid == 0) return;
  std::erase_if(profile_.samples, [&](const Sample& sample) {
    const Label* pid = FindLabel(profile_, sample, "pid");
    return pid == nullptr || pid->number != question_.only_pid;
  });
}

double ProfileView::ValueOf(const Sample& sample) const {
  return static_cast<double>(sample.values[value_.index]) * value_.scale;
}

std::vector<ProfileView::Frame> ProfileView::FramesOf(const pprof::Location& location) const {
  std::vector<Frame> frames;
  for (const pprof::Line& line : location.lines) {
    if (line.function == pprof::kNone) continue;
    const pprof::Function& function = profile_.functions[line.function];
    frames.push_back({profile_.Text(function.name), profile_.Text(function.file), line.line});
  }
  if (frames.empty()) frames.push_back({pprof::AddressName(profile_, location), "", 0});
  return frames;
}

std::string ProfileView::LeafName(const Sample& sample) const {
  if (sample.locations.empty()) return "";
  return FramesOf(profile_.locations[sample.locations[0]])[0].name;
}

void ProfileView::AddTotals() {
  const uint32_t count = profile_.SampleTypeIndex("samples");
  std::map<std::string, double> losses;
  for (const Sample& sample : profile_.samples) {
    const double value = ValueOf(sample);
    total_ += value;
    if (count != pprof::kNone) samples_ += static_cast<double>(sample.values[count]);
    const std::string leaf = LeafName(sample);
    if (!IsLoss(leaf)) continue;
    lost_ += value;
    losses[leaf] += value;
  }
  for (const auto& [name, value] : losses) losses_.push_back({name, value});
}

void ProfileView::AddThreads() {
  std::map<std::tuple<int64_t, int64_t, std::string>, double> sums;
  for (const Sample& sample : profile_.samples) {
    const Label* name = FindLabel(profile_, sample, "thread");
    const Label* tid = FindLabel(profile_, sample, "tid");
    const Label* pid = FindLabel(profile_, sample, "pid");
    if (name == nullptr && tid == nullptr) continue;
    sums[{pid != nullptr ? pid->number : 0, tid != nullptr ? tid->number : 0,
          name != nullptr ? profile_.Text(name->text) : "?"}] += ValueOf(sample);
  }
  for (const auto& [id, value] : sums)
    threads_.push_back({std::get<2>(id), std::get<1>(id), std::get<0>(id), value});
  std::sort(threads_.begin(), threads_.end(), Heavier);
}

std::string ProfileView::ThreadOf(const Sample& sample) const {
  const Label* name = FindLabel(profile_, sample, "thread");
  const Label* tid = FindLabel(profile_, sample, "tid");
  if (name == nullptr && tid == nullptr) return "";
  const std::string text = name != nullptr ? profile_.Text(name->text) : "?";
  return tid == nullptr ? text : text + " (tid " + std::to_string(tid->number) + ")";
}

void ProfileView::MarkThreads() {
  pprof::StringTable strings(&profile_.strings);
  const pprof::StringId key = strings.Intern(kThreadKey);
  for (Sample& sample : profile_.samples) {
    const std::string thread = ThreadOf(sample);
    if (!thread.empty()) sample.labels.push_back({key, strings.Intern(thread), 0, 0});
  }
}

pprof::ReportOptions ProfileView::Grouping() const {
  pprof::ReportOptions options;
  options.sample_type = profile_.Text(profile_.sample_types[value_.index].type);
  if (question_.by == "line") options.group_by = pprof::GroupBy::kLine;
  if (question_.by == "module") options.group_by = pprof::GroupBy::kMapping;
  if (question_.by == "thread") options.group_by = pprof::GroupBy::kLabel;
  options.label_key = kThreadKey;
  return options;
}

std::vector<ReportRow> ProfileView::Rows() const {
  const auto report = pprof::MakeReport(profile_, Grouping());
  if (!report.ok()) throw Failure("cannot read the profile: " + report.error());
  std::vector<ReportRow> rows;
  rows.reserve(report->rows.size());
  for (const pprof::Row& row : report->rows)
    rows.push_back({row.name, PlaceOf(row.file, row.line), row.mapping,
                    static_cast<double>(row.flat) * value_.scale,
                    static_cast<double>(row.cumulative) * value_.scale});
  return rows;
}

pprof::CallTree ProfileView::Tree() const {
  auto tree = pprof::MakeCallTree(profile_, Grouping());
  if (!tree.ok()) throw Failure("cannot read the profile: " + tree.error());
  return std::move(*tree);
}

// Stacks are compared by name: one function has many addresses.
ReportStack ProfileView::Heaviest() const {
  std::vector<std::string> names;
  pprof::StringTable ids(&names);
  std::vector<std::vector<uint32_t>> of_location;
  for (const pprof::Location& location : profile_.locations) {
    std::vector<uint32_t>& frames = of_location.emplace_back();
    for (const Frame& frame : FramesOf(location)) frames.push_back(ids.Intern(frame.name));
  }
  std::map<std::vector<uint32_t>, double> stacks;
  for (const Sample& sample : profile_.samples) {
    std::vector<uint32_t> stack;
    for (const uint32_t location : sample.locations)
      stack.insert(stack.end(), of_location[location].begin(), of_location[location].end());
    stacks[std::move(stack)] += ValueOf(sample);
  }
  ReportStack heaviest;
  const std::vector<uint32_t>* chosen = nullptr;
  for (const auto& [stack, value] : stacks) {
    if (value <= heaviest.value) continue;
    heaviest.value = value;
    chosen = &stack;
  }
  if (chosen == nullptr) return heaviest;
  for (const uint32_t name : *chosen) heaviest.frames.push_back(names[name]);
  return heaviest;
}

std::vector<std::string> ProfileView::comments() const {
  std::vector<std::string> texts;
  for (const pprof::StringId comment : profile_.comments) texts.push_back(profile_.Text(comment));
  return texts;
}

}  // namespace sonde::cli
