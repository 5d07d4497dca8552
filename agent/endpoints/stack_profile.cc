// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/stack_profile.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include "agent/endpoints/address_spaces.h"
#include "agent/endpoints/frame_names.h"
#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

bool AddSample(const StackSample& sample, size_t address_space, ProfileBuilder* builder) {
  const std::string_view leaf[] = {sample.synthetic_leaf};
  std::vector<SampleLabel> labels = {{.key = "pid", .text = {}, .number = sample.pid, .unit = {}}};
  if (sample.tid != 0) {
    labels.push_back({.key = "tid", .text = {}, .number = sample.tid, .unit = {}});
  }
  for (const auto& [key, text] : sample.labels) {
    labels.push_back({.key = key, .text = text, .unit = {}});
  }
  SampleInput input;
  input.frames = sample.frames;
  input.leaf_is_return_address = sample.leaf_is_return_address;
  if (!sample.synthetic_leaf.empty()) input.leaf_names = leaf;
  input.values = sample.values;
  input.labels = labels;
  input.address_space = address_space;
  return builder->AddSample(input);
}

using Labels = std::vector<std::pair<std::string, std::string>>;
using StackKey = std::tuple<int, std::vector<uint64_t>, std::string, Labels>;

StackKey KeyOf(const StackSample& sample) {
  return {sample.pid, sample.frames, sample.synthetic_leaf, sample.labels};
}

// Of what it is counted as when it has ended.
StackKey EndedKeyOf(const StackSample& open) {
  StackKey key = KeyOf(open);
  std::erase_if(std::get<3>(key), [](const auto& label) { return label.first == kStateLabel; });
  return key;
}

using Values = std::array<int64_t, 2>;

void Add(const Values& part, int64_t sign, Values* sum) {
  for (size_t i = 0; i < sum->size(); ++i) (*sum)[i] += sign * part[i];
}

// What was sampled may be less than what was known exactly.
void TakeOff(const Values& part, Values* whole) {
  for (size_t i = 0; i < whole->size(); ++i) {
    (*whole)[i] = std::max<int64_t>(0, (*whole)[i] - part[i]);
  }
}

// What went on before: goes on, or has ended and is in `ended`. Either may be null.
void SubtractOpen(const StackSample& before, StackSample* after, StackSample* ended) {
  std::set<uint64_t> goes_on;
  if (after != nullptr) {
    for (const OpenStackPart& part : after->open) goes_on.insert(part.id);
  }
  for (const OpenStackPart& part : before.open) {
    if (goes_on.contains(part.id)) {
      Add(part.values, -1, &after->values);
    } else if (part.counted_later && ended != nullptr) {
      TakeOff(part.values, &ended->values);
    }
  }
}

// Samples that are alike become one.
std::vector<StackSample> Merged(const std::vector<StackSample>& samples) {
  std::map<StackKey, size_t> places;
  std::vector<StackSample> merged;
  for (const StackSample& sample : samples) {
    const auto [place, is_new] = places.try_emplace(KeyOf(sample), merged.size());
    if (is_new) {
      merged.push_back(sample);
    } else {
      Add(sample.values, 1, &merged[place->second].values);
    }
  }
  return merged;
}

std::string LostText(const NamedCount& lost) {
  return "lost: " + std::to_string(lost.count) + ", " + lost.name;
}

void AppendSample(const StackSample& sample, const StackProfile& profile, FrameNames* names,
                  std::string* out) {
  const size_t other = 1 - profile.text_value;
  *out += std::to_string(sample.values[profile.text_value]) + " @";
  for (const uint64_t frame : sample.frames) *out += " " + HexText(frame);
  *out += "\n# " + profile.options.sample_types[other].type + " " +
          std::to_string(sample.values[other]) + "\n";
  for (const auto& [key, text] : sample.labels) *out += "# " + key + " " + ValidUtf8(text) + "\n";
  if (!sample.synthetic_leaf.empty()) *out += "#\t" + ValidUtf8(sample.synthetic_leaf) + "\n";
  for (size_t i = 0; i < sample.frames.size(); ++i) {
    const bool is_pc = i == 0 && !sample.leaf_is_return_address;
    const NamedFrame& frame = names->Of(sample.frames[i] - (is_pc ? 0 : 1));
    *out += "#\t" + HexText(sample.frames[i]) + "\t" + ValidUtf8(frame.text) + "\t" +
            ValidUtf8(frame.module) + "\n";
  }
  *out += "\n";
}

}  // namespace

std::string BuildStackProfile(const StackProfile& profile, AgentSources* sources,
                              Symbolizer* symbolizer) {
  const AgentStatus status = sources->Status();
  ProfileBuilder builder(profile.options);
  AddressSpaces spaces(status, sources, &builder);
  for (const NamedCount& lost : profile.lost) {
    if (lost.count != 0) builder.AddComment(LostText(lost));
  }
  int64_t refused = 0;
  for (const StackSample& sample : profile.samples) {
    if (!AddSample(sample, spaces.Of(sample.pid), &builder)) ++refused;
  }
  if (refused != 0) {
    builder.AddComment("left out by the builder: " + std::to_string(refused) + " stacks");
  }
  return builder.Finish(symbolizer);
}

// Stacks of other processes have addresses, and no names: those of this process would be wrong.
std::string StackText(const StackProfile& profile, Context* context) {
  const std::vector<StackSample> merged = Merged(profile.samples);
  std::vector<const StackSample*> sorted;
  int64_t total = 0;
  for (const StackSample& sample : merged) {
    if (sample.values[profile.text_value] == 0) continue;
    sorted.push_back(&sample);
    total += sample.values[profile.text_value];
  }
  std::stable_sort(sorted.begin(), sorted.end(), [&](const StackSample* a, const StackSample* b) {
    return a->values[profile.text_value] > b->values[profile.text_value];
  });
  FrameNames names(context);
  std::string out = profile.name + " profile: total " + std::to_string(total) + "\n# " +
                    profile.options.sample_types[profile.text_value].type + " in " +
                    profile.options.sample_types[profile.text_value].unit + "\n";
  for (const std::string& comment : profile.options.comments) out += "# " + comment + "\n";
  for (const NamedCount& lost : profile.lost) {
    if (lost.count != 0) out += "# " + LostText(lost) + "\n";
  }
  for (const StackSample* sample : sorted) {
    AppendSample(*sample, profile, &names, &out);
  }
  return out;
}

StackProfile StackDelta(const StackProfile& before, StackProfile after) {
  std::map<StackKey, StackSample*> places;
  for (StackSample& sample : after.samples) places[KeyOf(sample)] = &sample;
  const auto find = [&](const StackKey& key) {
    const auto place = places.find(key);
    return place != places.end() ? place->second : nullptr;
  };
  std::vector<StackSample> gone;
  for (const StackSample& sample : before.samples) {
    StackSample* const same = find(KeyOf(sample));
    if (!sample.open.empty()) {
      SubtractOpen(sample, same, find(EndedKeyOf(sample)));
    } else if (same != nullptr) {
      Add(sample.values, -1, &same->values);
    } else {
      gone.push_back(sample);
      gone.back().values = {};
      Add(sample.values, -1, &gone.back().values);
    }
  }
  after.samples.insert(after.samples.end(), gone.begin(), gone.end());
  std::erase_if(after.samples, [](const StackSample& sample) { return sample.values == Values{}; });
  return after;
}

}  // namespace sonde
