// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/cpu_profile.h"

#include <sys/auxv.h>

#include <map>
#include <utility>

#include "agent/endpoints/own_memory.h"
#include "agent/endpoints/text_util.h"
#include "profile/profile_builder.h"

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

// The addresses of each process of the tree belong to its own mappings.
class AddressSpaces {
 public:
  AddressSpaces(const AgentStatus& status, AgentSources* sources, ProfileBuilder* builder)
      : status_(status), sources_(sources), builder_(builder) {
    builder_->SetMappings(MappingsOf(status.pid, status, sources));
    spaces_[status.pid] = 0;
  }
  // Of one of the window's spaces.
  size_t OfWindow(const CpuWindow& window, int space) {
    const auto known = window_spaces_.find(space);
    if (known != window_spaces_.end()) return known->second;
    return window_spaces_[space] = builder_->AddMappings(window.spaces[static_cast<size_t>(space)]);
  }
  // What the process has mapped now.
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
  std::map<int, size_t> window_spaces_;
};

}  // namespace

std::vector<Mapping> MappingsOf(int pid, const AgentStatus& status, AgentSources* sources) {
  std::vector<Mapping> mappings = ParseMaps(sources->Maps(pid)).mappings;
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
  AddressSpaces spaces(status, sources, &builder);
  AddComments(input, status, &builder);
  int64_t refused = 0;
  for (const CpuSample& sample : input.window.samples) {
    const size_t space =
        sample.space >= 0 ? spaces.OfWindow(input.window, sample.space) : spaces.Of(sample.pid);
    if (!AddCpuSample(sample, ValidUtf8(sample.thread_name), space, &builder))
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
