// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask of the running agent. Endpoints know only this page; agent/life
// implements it over the collectors, tests implement it with known numbers. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/endpoints/memory_source.h"
#include "profile/cpu_window.h"

namespace sonde {

// CPU samples of an interval that began when the capture was opened. Any number of captures
// overlap.
class CpuCapture {
 public:
  virtual ~CpuCapture() = default;
  // What was sampled from the opening until now.
  [[nodiscard]] virtual CpuWindow Collect() = 0;
};

struct ThreadCpu {
  std::string name;
  int tid = 0;
  double cpu_seconds = 0;
  bool timed = false;  // has a CPU timer now
};

struct ProcessStatus {
  int pid = 0;
  std::string state;  // "sampling", "dormant: seccomp", "gone" …
  std::string command;
};

struct NamedCount {
  std::string name;
  uint64_t count = 0;
};

// Everything /debug/sonde/status and /metrics tell. A plain copy, made when asked for.
struct AgentStatus {
  std::string version;
  std::string commit;
  std::string state;       // "on", "off: kill switch", "off: crash guard (2 early deaths)" …
  std::string executable;  // of the host
  int pid = 0;
  int64_t process_start_unix_ms = 0;
  int64_t agent_start_unix_ms = 0;
  int cpu_rate_hz = 0;            // configured
  int cpu_effective_rate_hz = 0;  // after self-limits; 0 when off
  int cpu_signal = 0;
  uint64_t cpu_samples = 0;
  double cpu_sampled_seconds = 0;
  std::vector<NamedCount> dropped;       // by reason
  std::vector<std::string> allocators;   // a sentence for each
  std::vector<std::string> not_covered;  // sentences: what is not seen, and why
  double agent_cpu_seconds = 0;
  uint64_t agent_memory_bytes = 0;
  uint64_t agent_memory_limit_bytes = 0;
  uint64_t cpu_timers = 0;
  uint64_t cpu_timers_limit = 0;
  std::vector<ThreadCpu> threads;        // of the host, the agent's own left out
  std::vector<ProcessStatus> processes;  // the tree that this agent serves
  std::vector<NamedCount> tables;        // "stacks", "stacks_max", "unwind_rows" …
  std::vector<std::string> objects_without_unwind_data;
};

class ContentionSource;
class CreatorsSource;
class FindingsSource;
class ThreadsSource;
class HeapSource;
class WallSource;

class AgentSources {
 public:
  virtual ~AgentSources() = default;
  // Null and *error set when CPU profiling cannot be had now; the error says why and what to do.
  [[nodiscard]] virtual std::unique_ptr<CpuCapture> OpenCpuCapture(int rate_hz,
                                                                   std::string* error) = 0;
  // What was sampled between two times, from the recording; times since 1970.
  [[nodiscard]] virtual CpuWindow CpuPast(int64_t from_unix_ns, int64_t to_unix_ns) = 0;
  [[nodiscard]] virtual AgentStatus Status() = 0;
  // Where the host's memory is.
  [[nodiscard]] virtual MemorySource& Memory() = 0;
  // The text of /proc/self/maps of the host, or of a process of the tree.
  [[nodiscard]] virtual std::string Maps(int pid) = 0;
  // The host's command line, NUL-separated.
  [[nodiscard]] virtual std::string CommandLine() = 0;
  // Of agent/endpoints/heap_source.h; lives as long as this.
  [[nodiscard]] virtual HeapSource& Heap() = 0;
  // The kill switch: everything silent within a second, until the process ends or On() is called.
  virtual void Off() = 0;
  virtual void On() = 0;
  // Null: this agent cannot look at threads, or looks for nothing.
  [[nodiscard]] virtual ThreadsSource* Threads() { return nullptr; }
  [[nodiscard]] virtual FindingsSource* Findings() { return nullptr; }
  [[nodiscard]] virtual CreatorsSource* Creators() { return nullptr; }
  [[nodiscard]] virtual ContentionSource* Contention() { return nullptr; }
  [[nodiscard]] virtual WallSource* Wall() { return nullptr; }
};

}  // namespace sonde
