// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/cpu_profile.h"

#include <map>
#include <string_view>
#include <utility>

#include "agent/endpoints/own_memory.h"
#include "agent/endpoints/text_util.h"
#include "profile/profile_builder.h"

namespace sonde {
namespace {

constexpr int64_t kSecondNs = 1000000000;

ProfileOptions OptionsFor(const CpuProfileInput& input) {
  ProfileOptions options;
  options.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  options.default_sample_type = "cpu";
  options.period_type = {"cpu", "nanoseconds"};
  options.period = input.rate_hz > 0 ? kSecondNs / input.rate_hz : 0;
  options.time_nanos = input.begin_unix_ns;
  options.duration_nanos = input.duration_ns;
  return options;
}

// What a reader must know to trust the numbers: the rate, the losses, the blind spots.
void AddComments(const CpuProfileInput& input, const AgentStatus& status, ProfileBuilder* builder) {
  builder->AddComment("sonde " + status.version + ": CPU sampled at " +
                      std::to_string(input.rate_hz) + " Hz of each thread's CPU time");
  for (const NamedCount& count : input.dropped) {
    builder->AddComment("dropped in this interval: " + std::to_string(count.count) + " samples, " +
                        ValidUtf8(count.name));
  }
  for (const std::string& line : status.not_covered) {
    builder->AddComment("not covered: " + ValidUtf8(line));
  }
}

// The addresses of each process of the tree belong to its own mappings.
class AddressSpaces {
 public:
  AddressSpaces(const AgentStatus& status, AgentSources* sources, ProfileBuilder* builder)
      : status_(status), sources_(sources), builder_(builder) {
    builder_->SetMappings(MappingsOf(status.pid, status, sources));
    spaces_[status.pid] = 0;
  }
  size_t Of(int pid) {
    const auto known = spaces_.find(pid);
    if (known != spaces_.end()) return known->second;
    return spaces_[pid] = builder_->AddMappings(MappingsOf(pid, status_, sources_));
  }

 private:
  const AgentStatus& status_;
  AgentSources* const sources_;
  ProfileBuilder* const builder_;
  std::map<int, size_t> spaces_;
};

bool AddSample(const CpuSample& sample, size_t address_space, ProfileBuilder* builder) {
  const std::string thread = ValidUtf8(sample.thread_name);
  const std::string_view leaf[] = {sample.synthetic_leaf};
  const int64_t values[] = {sample.count, sample.cpu_ns};
  const SampleLabel labels[] = {{.key = "thread", .text = thread, .unit = {}},
                                {.key = "tid", .text = {}, .number = sample.tid, .unit = {}},
                                {.key = "pid", .text = {}, .number = sample.pid, .unit = {}}};
  SampleInput input;
  input.frames = sample.frames;
  if (!sample.synthetic_leaf.empty()) input.leaf_names = leaf;
  input.values = values;
  // A label without a text would be read as the number 0.
  input.labels = std::span(labels).subspan(thread.empty() ? 1 : 0);
  input.address_space = address_space;
  return builder->AddSample(input);
}

}  // namespace

std::vector<Mapping> MappingsOf(int pid, const AgentStatus& status, AgentSources* sources) {
  std::vector<Mapping> mappings = ParseMaps(sources->Maps(pid)).mappings;
  MoveMainFirst(status.executable, &mappings);
  AddBuildIds(pid == status.pid ? OwnMemoryReader() : MemoryReader(), &mappings);
  return mappings;
}

std::string BuildCpuProfile(const CpuProfileInput& input, AgentSources* sources,
                            Symbolizer* symbolizer) {
  const AgentStatus status = sources->Status();
  ProfileBuilder builder(OptionsFor(input));
  AddressSpaces spaces(status, sources, &builder);
  AddComments(input, status, &builder);
  int64_t refused = 0;
  for (const CpuSample& sample : input.samples) {
    if (!AddSample(sample, spaces.Of(sample.pid), &builder)) refused += sample.count;
  }
  if (refused != 0)
    builder.AddComment("left out by the builder: " + std::to_string(refused) + " samples");
  return builder.Finish(symbolizer);
}

std::vector<NamedCount> CountsSince(const std::vector<NamedCount>& before,
                                    const std::vector<NamedCount>& after) {
  std::vector<NamedCount> gained;
  for (const NamedCount& now : after) {
    uint64_t then = 0;
    for (const NamedCount& count : before) {
      if (count.name == now.name) then = count.count;
    }
    if (now.count > then) gained.push_back({now.name, now.count - then});
  }
  return gained;
}

}  // namespace sonde
