// SPDX-License-Identifier: Apache-2.0
// Which object lay where, and when: mappings over time, so that an address that was sampled minutes
// ago is not given to an object that came later. Fed by the agent with what it reads now and then,
// carried by the region as text, read by the CLI. Not thread-safe. Memory: 24 bytes a mapping and
// process, at most kMaxLives; equal mappings of all processes are kept once.
//
// A mapping was there at the two readings that saw it, and may have been there in the whole time
// between the reading before and the reading after: those outer limits are what is remembered.
// Where two objects may have had an address within the time that is asked about, nobody gets it.
// Generated code has no object, but a perf map whose growth is remembered (not in the text).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "profile/mappings.h"
#include "profile/perf_map_history.h"

namespace sonde {

class AddressHistory {
 public:
  static constexpr size_t kMaxLives = 50'000;

  // What the process has mapped now, its main program first. Times are of one clock. True when an
  // address has another object than it had before: samples from before must be kept apart.
  bool Update(int pid, std::string_view name, std::vector<Mapping> mappings, uint64_t now_ns);
  // Nothing of it has changed until now.
  void Unchanged(int pid, uint64_t now_ns);
  // The same mappings as `parent`: for a forked child that ended before it was read.
  void Inherit(int pid, std::string_view name, int parent);
  [[nodiscard]] bool Knows(int pid) const { return processes_.contains(pid); }
  // Which processes have generated code mapped, as far as is known.
  [[nodiscard]] std::vector<int> WithGeneratedCode() const;
  // nullptr: the process is not known.
  [[nodiscard]] PerfMapHistory* PerfMapOf(int pid);
  [[nodiscard]] const PerfMapHistory* PerfMapOf(int pid) const;
  // Whose perf map was written anew behind `from_ns`, and when.
  [[nodiscard]] std::vector<std::pair<int, uint64_t>> PerfMapsWrittenAnew(uint64_t from_ns) const;
  // Empty: unknown.
  [[nodiscard]] std::string NameOf(int pid) const;

  // When addresses may have gone from one object to another: samples from before and after are kept
  // apart. In order.
  [[nodiscard]] std::vector<uint64_t> Changes() const;
  // The mappings in which addresses of [from_ns, to_ns) lie. Those that are gone have no image in
  // memory any more (image_start is 0).
  [[nodiscard]] std::vector<Mapping> At(int pid, uint64_t from_ns, uint64_t to_ns) const;

  // What ended before is not asked about any more.
  void Forget(uint64_t before_ns);
  [[nodiscard]] size_t memory_bytes() const;

  // Lines of text; processes that come first here are the last to be cut off. And back: lines that
  // make no sense are left out, text may be hostile.
  [[nodiscard]] std::string Write() const;
  static AddressHistory Read(std::string_view text);

 private:
  struct Life {
    uint32_t mapping;  // index into mappings_
    uint64_t from_ns;
    uint64_t to_ns;  // UINT64_MAX: it is there
  };
  struct Process {
    std::string name;
    uint64_t read_ns = 0;
    std::vector<Life> lives;
    PerfMapHistory perf_map;
  };
  class Reader;

  uint32_t Intern(Mapping mapping);
  Life* FindAlive(Process* process, const Mapping& mapping);
  bool Displaces(const Process& process, const Mapping& mapping) const;
  void DropUnusedMappings();

  std::map<int, Process> processes_;
  size_t lives_ = 0;
  std::vector<Mapping> mappings_;
  std::unordered_multimap<uint64_t, uint32_t> by_start_;
};

}  // namespace sonde
