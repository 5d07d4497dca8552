// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/cpu_profile.h"

#include <sys/auxv.h>

#include <map>
#include <utility>

#include "agent/endpoints/address_spaces.h"
#include "agent/endpoints/own_memory.h"
#include "agent/endpoints/text_util.h"
#include "profile/profile_builder.h"
#include "profile/unpacked_program.h"

namespace sonde {
namespace {

// What a reader must know to trust the numbers: the rate, the losses, the blind spots.
void AddComments(const CpuProfileInput& input, const AgentStatus& status, ProfileBuilder* builder) {
  builder->AddComment("sonde " + status.version + ": CPU sampled at " +
                      std::to_string(input.window.rate_hz) + " Hz of each thread's CPU time");
  for (const std::string& note : input.notes) builder->AddComment(kWindowComment + note);
  for (const NamedCount& count : input.dropped) {
    builder->AddComment("dropped in this interval: " + std::to_string(count.count) + " samples, " +
                        ValidUtf8(count.name));
  }
  for (const std::string& line : status.not_covered) {
    builder->AddComment("not covered: " + ValidUtf8(line));
  }
}

// A sample's addresses belong to what was mapped in its time, or to what its process has mapped
// now.
class SampleSpaces {
 public:
  SampleSpaces(const CpuWindow& window, AddressSpaces* now, ProfileBuilder* builder)
      : window_(window), now_(now), builder_(builder) {}
  size_t Of(const CpuSample& sample) {
    if (sample.space < 0) return now_->Of(sample.pid);
    const auto known = then_.find(sample.space);
    if (known != then_.end()) return known->second;
    const size_t index = static_cast<size_t>(sample.space);
    return then_[sample.space] = builder_->AddMappings(window_.spaces[index]);
  }

 private:
  const CpuWindow& window_;
  AddressSpaces* const now_;
  ProfileBuilder* const builder_;
  std::map<int, size_t> then_;
};

}  // namespace

std::vector<Mapping> MappingsOf(int pid, const AgentStatus& status, AgentSources* sources) {
  std::vector<Mapping> mappings = ParseMaps(sources->Maps(pid)).mappings;
  if (pid == status.pid)
    FindUnpackedProgram(getauxval(AT_PHDR), OwnMemoryReader(), status.executable, &mappings);
  // Started as `ld.so PROGRAM`, /proc/self/exe is the loader; the loader puts the program's own
  // headers into the auxiliary vector.
  if (pid != status.pid || !MoveMainFirst(getauxval(AT_PHDR), &mappings))
    MoveMainFirst(status.executable, &mappings);
  SetOwner(pid, &mappings);
  AddBuildIds(pid == status.pid ? OwnMemoryReader() : MemoryReader(), &mappings);
  return mappings;
}

std::string BuildCpuProfile(const CpuProfileInput& input, AgentSources* sources,
                            Symbolizer* symbolizer) {
  const AgentStatus status = sources->Status();
  ProfileBuilder builder(CpuProfileOptions(input.window));
  AddressSpaces now(status, sources, &builder);
  SampleSpaces spaces(input.window, &now, &builder);
  AddComments(input, status, &builder);
  int64_t refused = 0;
  for (const CpuSample& sample : input.window.samples) {
    if (!AddCpuSample(sample, ValidUtf8(sample.thread_name), spaces.Of(sample), &builder))
      refused += sample.count;
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
