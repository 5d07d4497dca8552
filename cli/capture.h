// SPDX-License-Identifier: Apache-2.0
// Takes a CPU profile from a connected target, with progress, and says what it is worth. Used by
// cpu and by the front door; one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/add_lines.h"
#include "cli/connection.h"

namespace sonde::cli {

// A part of the recording of the last minutes, instead of a capture of now.
struct PastQuestion {
  std::optional<std::chrono::milliseconds> last;
  std::optional<int64_t> from_ns;  // since 1970
  std::optional<int64_t> to_ns;
  bool asked() const { return last || from_ns || to_ns; }
};

struct CaptureOptions {
  int seconds = 10;
  std::optional<int> hz;  // the agent's own rate if not given
  PastQuestion past;
};

struct Captured {
  std::string profile;  // the bytes of the pprof file
  std::string process;  // "pid 7 redis-server"
  std::string agent;    // "agent 0.1.0" or what answered instead
  int only_pid = 0;
  bool cpu_is_off = false;  // the agent says that it does not sample
  std::string note;         // a sentence: how it came about, if not as asked
};

// When the connection is lost in the middle (the agent's thread pauses for the service, another
// process of the tree takes over, a port-forward breaks), the answer comes from the agent's
// recording of the same time, and `note` says so.
Captured CaptureCpu(Connection* connection, const CaptureOptions& options);

// Where the objects of a target's profiles are: a pid's own root, and its agent. The connection
// must outlive what is returned.
ObjectPlaces PlacesOf(const Target& target, Connection* connection);

// "pid 7 redis-server" of an agent's status; empty for anything else.
std::string ProcessOf(const nlohmann::json& status);

}  // namespace sonde::cli
