// SPDX-License-Identifier: Apache-2.0
#include "profile/merge.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

namespace sonde::pprof {
namespace {

// Sizes differ by a page or so between kernels; pprof compares them rounded as well.
constexpr uint64_t kSizeRounding = 0x1000;

int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

int64_t WrappingNegate(int64_t a) { return static_cast<int64_t>(0 - static_cast<uint64_t>(a)); }

std::string TypeText(const Profile& profile) {
  std::string text;
  for (const ValueType& type : profile.sample_types) {
    if (!text.empty()) text += ", ";
    text += profile.Text(type.type) + "/" + profile.Text(type.unit);
  }
  return text;
}

// Adds profile after profile to one result. Each Add translates the indexes of its profile.
class Merger {
 public:
  Merger() : strings_(&out_.strings) {}

  // `dropped_label`: labels of this key are left out; empty: none is.
  void Add(const Profile& in, bool negate, const std::string& dropped_label = "");
  void Header(const Profile& in);
  Profile Take();

 private:
  using MappingKey = std::tuple<StringId, uint64_t, uint64_t>;
  using FunctionKey = std::tuple<StringId, StringId, StringId, int64_t>;
  using LocationKey = std::tuple<uint32_t, uint64_t, bool, std::vector<Line>>;
  using SampleKey = std::pair<std::vector<uint32_t>, std::vector<Label>>;

  struct Translation {
    std::vector<uint32_t> mappings;
    std::vector<uint32_t> functions;
    std::vector<uint32_t> locations;
  };

  StringId Text(const Profile& in, StringId id) { return strings_.Intern(in.Text(id)); }
  uint32_t AddMapping(const Profile& in, const Mapping& mapping);
  uint32_t AddFunction(const Profile& in, const Function& function);
  uint32_t AddLocation(const Profile& in, const Location& location, const Translation& to);
  void AddSample(const Profile& in, const Sample& sample, const Translation& to, bool negate,
                 const std::string& dropped_label);
  void AddComments(const Profile& in);

  Profile out_;
  StringTable strings_;
  std::map<MappingKey, uint32_t> mappings_;
  std::map<FunctionKey, uint32_t> functions_;
  std::map<LocationKey, uint32_t> locations_;
  std::map<SampleKey, uint32_t> samples_;
};

uint32_t Merger::AddMapping(const Profile& in, const Mapping& mapping) {
  const StringId file = Text(in, mapping.file);
  const StringId build_id = Text(in, mapping.build_id);
  const uint64_t size = (mapping.limit - mapping.start + kSizeRounding - 1) & ~(kSizeRounding - 1);
  const MappingKey key(build_id != 0 ? build_id : file, size, mapping.offset);
  const auto [entry, fresh] =
      mappings_.try_emplace(key, static_cast<uint32_t>(out_.mappings.size()));
  if (fresh) {
    out_.mappings.push_back(mapping);
    out_.mappings.back().file = file;
    out_.mappings.back().build_id = build_id;
  } else {
    out_.mappings[entry->second].has_functions |= mapping.has_functions;
  }
  return entry->second;
}

uint32_t Merger::AddFunction(const Profile& in, const Function& function) {
  const Function out{Text(in, function.name), Text(in, function.system_name),
                     Text(in, function.file), function.start_line};
  const FunctionKey key(out.name, out.system_name, out.file, out.start_line);
  const auto [entry, fresh] =
      functions_.try_emplace(key, static_cast<uint32_t>(out_.functions.size()));
  if (fresh) out_.functions.push_back(out);
  return entry->second;
}

uint32_t Merger::AddLocation(const Profile& in, const Location& location, const Translation& to) {
  Location out = location;
  uint64_t relative = location.address;
  if (location.mapping != kNone) {
    out.mapping = to.mappings[location.mapping];
    relative -= in.mappings[location.mapping].start;
    out.address = relative + out_.mappings[out.mapping].start;
  }
  for (Line& line : out.lines) {
    if (line.function != kNone) line.function = to.functions[line.function];
  }
  LocationKey key(out.mapping, relative, out.is_folded, out.lines);
  const auto [entry, fresh] =
      locations_.try_emplace(std::move(key), static_cast<uint32_t>(out_.locations.size()));
  if (fresh) out_.locations.push_back(std::move(out));
  return entry->second;
}

void Merger::AddSample(const Profile& in, const Sample& sample, const Translation& to, bool negate,
                       const std::string& dropped_label) {
  SampleKey key;
  for (const uint32_t location : sample.locations) key.first.push_back(to.locations[location]);
  for (const Label& label : sample.labels) {
    if (!dropped_label.empty() && in.Text(label.key) == dropped_label) continue;
    key.second.push_back(
        {Text(in, label.key), Text(in, label.text), label.number, Text(in, label.unit)});
  }
  std::sort(key.second.begin(), key.second.end());
  const auto [entry, fresh] =
      samples_.try_emplace(std::move(key), static_cast<uint32_t>(out_.samples.size()));
  if (fresh) {
    out_.samples.push_back(
        {entry->first.first, std::vector<int64_t>(sample.values.size()), entry->first.second});
  }
  std::vector<int64_t>& values = out_.samples[entry->second].values;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t value = sample.values[i];
    values[i] = WrappingAdd(values[i], negate ? WrappingNegate(value) : value);
  }
}

void Merger::AddComments(const Profile& in) {
  for (const StringId comment : in.comments) {
    const StringId id = Text(in, comment);
    const auto& all = out_.comments;
    if (std::find(all.begin(), all.end(), id) == all.end()) out_.comments.push_back(id);
  }
}

void Merger::Header(const Profile& in) {
  for (const ValueType& type : in.sample_types) {
    out_.sample_types.push_back({Text(in, type.type), Text(in, type.unit)});
  }
  out_.period_type = {Text(in, in.period_type.type), Text(in, in.period_type.unit)};
  out_.drop_frames = Text(in, in.drop_frames);
  out_.keep_frames = Text(in, in.keep_frames);
  out_.default_sample_type = Text(in, in.default_sample_type);
  out_.time_nanos = in.time_nanos;
}

void Merger::Add(const Profile& in, bool negate, const std::string& dropped_label) {
  Translation to;
  for (const Mapping& mapping : in.mappings) to.mappings.push_back(AddMapping(in, mapping));
  for (const Function& function : in.functions) to.functions.push_back(AddFunction(in, function));
  for (const Location& location : in.locations) {
    to.locations.push_back(AddLocation(in, location, to));
  }
  for (const Sample& sample : in.samples) AddSample(in, sample, to, negate, dropped_label);
  AddComments(in);
  out_.period = std::max(out_.period, in.period);
  if (negate) return;
  out_.duration_nanos = WrappingAdd(out_.duration_nanos, in.duration_nanos);
  if (in.time_nanos != 0 && (out_.time_nanos == 0 || in.time_nanos < out_.time_nanos)) {
    out_.time_nanos = in.time_nanos;
  }
}

Profile Merger::Take() {
  std::erase_if(out_.samples, [](const Sample& sample) {
    return std::all_of(sample.values.begin(), sample.values.end(),
                       [](int64_t v) { return v == 0; });
  });
  return std::move(out_);
}

bool SameTypes(const Profile& a, const Profile& b) {
  return TypeText(a) == TypeText(b) && a.Text(a.period_type.type) == b.Text(b.period_type.type) &&
         a.Text(a.period_type.unit) == b.Text(b.period_type.unit);
}

Error TypesDiffer(const Profile& a, const Profile& b) {
  const auto text = [](const Profile& p) {
    return "[" + TypeText(p) + "] by " + p.Text(p.period_type.type) + "/" +
           p.Text(p.period_type.unit);
  };
  return Error{"profiles of different kinds: " + text(a) + " and " + text(b)};
}

}  // namespace

Result<Profile> Merge(std::span<const Profile* const> profiles) {
  if (profiles.empty()) return Error{"nothing to merge: expected at least one profile"};
  Merger merger;
  merger.Header(*profiles[0]);
  for (const Profile* profile : profiles) {
    if (!SameTypes(*profiles[0], *profile)) return TypesDiffer(*profiles[0], *profile);
    merger.Add(*profile, false);
  }
  return merger.Take();
}

Result<Profile> Diff(const Profile& base, const Profile& profile) {
  if (!SameTypes(base, profile)) return TypesDiffer(base, profile);
  Merger merger;
  merger.Header(profile);
  merger.Add(profile, false);
  merger.Add(base, true);
  return merger.Take();
}

Result<Profile> WithoutLabel(const Profile& profile, const std::string& key) {
  if (key.empty()) return Error{"label to take away: expected its name"};
  Merger merger;
  merger.Header(profile);
  merger.Add(profile, false, key);
  return merger.Take();
}

}  // namespace sonde::pprof
