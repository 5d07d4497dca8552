// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/heap_profile.h"

#include <map>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/endpoints/address_spaces.h"
#include "agent/endpoints/text_util.h"
#include "profile/profile_builder.h"

namespace sonde {
namespace {

ProfileOptions OptionsFor(const HeapProfileInput& input) {
  ProfileOptions options;
  options.sample_types = {{"alloc_objects", "count"},
                          {"alloc_space", "bytes"},
                          {"inuse_objects", "count"},
                          {"inuse_space", "bytes"}};
  options.default_sample_type = input.default_type;
  options.period_type = {"space", "bytes"};
  options.period = input.snapshot.interval_bytes;
  options.time_nanos = input.begin_unix_ns;
  options.duration_nanos = input.duration_ns;
  options.comments = input.comments;
  return options;
}

void ReserveFor(const std::vector<HeapSample>& samples, ProfileBuilder* builder) {
  size_t frames = samples.size();  // each may have a name as well
  for (const HeapSample& sample : samples) frames += sample.frames.size();
  builder->Reserve(samples.size(), frames, samples.size());
}

bool AddSample(const HeapSample& sample, size_t address_space, ProfileBuilder* builder) {
  const std::string_view leaf[] = {sample.mmap && sample.synthetic_leaf.empty()
                                       ? std::string_view("[mmap]")
                                       : std::string_view(sample.synthetic_leaf)};
  const int64_t values[] = {sample.alloc_objects, sample.alloc_bytes, sample.inuse_objects,
                            sample.inuse_bytes};
  const SampleLabel labels[] = {{.key = "pid", .text = {}, .number = sample.pid, .unit = {}}};
  SampleInput input;
  input.frames = sample.frames;
  input.leaf_is_return_address = true;
  if (!leaf[0].empty()) input.leaf_names = leaf;
  input.values = values;
  input.labels = labels;
  input.address_space = address_space;
  return builder->AddSample(input);
}

// One stack of one process, whatever its halves.
using StackKey = std::tuple<int, bool, SharedFrames, std::string>;

StackKey KeyOf(const HeapSample& sample) {
  return {sample.pid, sample.mmap, sample.frames, sample.synthetic_leaf};
}

void Add(const HeapSample& what, int sign, HeapSample* to) {
  to->alloc_objects += sign * what.alloc_objects;
  to->alloc_bytes += sign * what.alloc_bytes;
  to->inuse_objects += sign * what.inuse_objects;
  to->inuse_bytes += sign * what.inuse_bytes;
}

// "3: 4096 [10: 16384]", live blocks and bytes, all of them ever in brackets.
std::string SumsText(const HeapSample& sample) {
  return std::to_string(sample.inuse_objects) + ": " + std::to_string(sample.inuse_bytes) + " [" +
         std::to_string(sample.alloc_objects) + ": " + std::to_string(sample.alloc_bytes) + "]";
}

bool IsNothing(const HeapSample& sample) {
  return sample.alloc_objects == 0 && sample.alloc_bytes == 0 && sample.inuse_objects == 0 &&
         sample.inuse_bytes == 0;
}

}  // namespace

std::string BuildHeapProfile(const HeapProfileInput& input, AgentSources* sources,
                             Symbolizer* symbolizer) {
  const AgentStatus status = sources->Status();
  ProfileBuilder builder(OptionsFor(input));
  AddressSpaces spaces(status, sources, &builder);
  for (const std::string& line : status.not_covered) {
    builder.AddComment("not covered: " + ValidUtf8(line));
  }
  const int64_t missed_ms = input.snapshot.since_unix_ms - status.process_start_unix_ms;
  if (missed_ms > 0)
    builder.AddComment("sonde: sampling began " + std::to_string(missed_ms) +
                       " ms after the process");
  ReserveFor(input.snapshot.samples, &builder);
  int64_t refused = 0;
  for (const HeapSample& sample : input.snapshot.samples) {
    if (!AddSample(sample, spaces.Of(sample.pid), &builder)) ++refused;
  }
  if (refused != 0) {
    builder.AddComment("left out by the builder: " + std::to_string(refused) + " stacks");
  }
  return builder.Finish(symbolizer);
}

std::string HeapText(const HeapSnapshot& snapshot, AgentSources* sources) {
  HeapSample total;
  for (const HeapSample& sample : snapshot.samples) Add(sample, 1, &total);
  std::string text = "heap profile: " + SumsText(total) + " @ heapprofile\n";
  for (const HeapSample& sample : snapshot.samples) {
    text += SumsText(sample) + " @";
    for (const uint64_t frame : sample.frames) text += " " + HexText(frame);
    if (sample.mmap && sample.synthetic_leaf.empty()) text += "\n# [mmap]";
    text += sample.synthetic_leaf.empty() ? "\n" : "\n# " + ValidUtf8(sample.synthetic_leaf) + "\n";
  }
  return text + "\nMAPPED_LIBRARIES:\n" + sources->Maps(sources->Status().pid);
}

HeapSnapshot HeapDelta(const HeapSnapshot& before, HeapSnapshot after) {
  std::map<StackKey, HeapSample> delta;
  for (const auto* side : {&before, static_cast<const HeapSnapshot*>(&after)}) {
    for (const HeapSample& sample : side->samples) {
      const auto [at, fresh] = delta.try_emplace(KeyOf(sample), sample);
      if (fresh) at->second.alloc_objects = at->second.alloc_bytes = 0;
      if (fresh) at->second.inuse_objects = at->second.inuse_bytes = 0;
      Add(sample, side == &before ? -1 : 1, &at->second);
    }
  }
  after.samples.clear();
  for (auto& [key, sample] : delta) {
    if (!IsNothing(sample)) after.samples.push_back(std::move(sample));
  }
  return after;
}

}  // namespace sonde
