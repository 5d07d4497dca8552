// SPDX-License-Identifier: Apache-2.0
// What /proc tells of one process without an agent. Used by target look-up, list and the agentless
// look. Every read may fail because the process ends meanwhile: then the answer is empty, never an
// exception.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sonde::cli {

// At most max_bytes of a file; nullopt when it cannot be read.
std::optional<std::string> ReadSmallFile(const std::string& path,
                                         size_t max_bytes = size_t{1} << 20);

struct ProcessStat {
  std::string name;  // comm
  int parent = 0;
  uint64_t cpu_ticks = 0;    // user + system
  uint64_t start_ticks = 0;  // since boot; with the pid it names a process for ever
};

// The text of /proc/PID/stat or /proc/PID/task/TID/stat; the name may hold spaces and parentheses.
std::optional<ProcessStat> ParseStat(const std::string& text);
std::optional<ProcessStat> ReadStat(int pid);

// Value of NAME in the environment that the process was started with.
std::optional<std::string> EnvironmentOf(int pid, const std::string& name);

// Effective uid; nullopt when the process is gone.
std::optional<uint32_t> UserOf(int pid);

// The pid inside the innermost pid namespace; the same number outside containers.
int InnermostPid(int pid);

// "redis-server *:6379": arguments joined by blanks, cut at max_length.
std::string CommandLineOf(int pid, size_t max_length = 60);

}  // namespace sonde::cli
