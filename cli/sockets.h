// SPDX-License-Identifier: Apache-2.0
// The sockets through which agents on this machine can be reached: `<host>-<pid>-<start>.sock` in a
// run directory, `@sonde/<host>-<pid>-<start>` where no directory could be written. Used by pid
// look-up and list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/http_client.h"

namespace sonde::cli {

struct SocketName {
  std::string host;
  int pid = 0;               // in the pid namespace of the process
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  bool operator==(const SocketName&) const = default;
};

// "web-7f9c-12-81234" (no ".sock"): the host may hold dashes, so it is read from the right.
std::optional<SocketName> ParseSocketName(std::string_view name);

struct AgentSocket {
  SocketName name;
  Address address;
};

// Where agents of this user and of root put their sockets; with a pid, of that process too, also as
// seen inside its own mount namespace. In order of preference, no duplicates.
std::vector<std::string> RunDirectories(std::optional<int> pid = std::nullopt);

// What lies in the directories, then the abstract ones of this network namespace (or the pid's).
std::vector<AgentSocket> FindSockets(const std::vector<std::string>& directories,
                                     std::optional<int> pid = std::nullopt);

// The abstract agent sockets in a text like /proc/net/unix.
std::vector<AgentSocket> ParseUnixTable(std::string_view text);

struct Probe {
  enum class State { kLive, kStale, kDenied };
  State state = State::kStale;
  uint32_t uid = 0;  // who listens; valid when live
};

// Connects and hangs up. Stale: nobody listens any more.
Probe ProbeSocket(const Address& address);

}  // namespace sonde::cli
