// SPDX-License-Identifier: Apache-2.0
// How a dump of all threads looks in a terminal. Reads /debug/sonde/threads, or what was made the
// same way without an agent. Pure, but for the stream.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/render.h"

namespace sonde::cli {

struct ThreadsQuestion {
  bool all = false;   // one by one, whole stacks
  std::string state;  // "running", "waiting" …; empty: any
};

struct ThreadsHeader {
  std::string process;  // "pid 7 redis-server"
  std::string source;   // "agent 0.1.0"
  std::string next;     // command; may be empty
  std::vector<std::string> costs =
      {};  // what looking did to the process, beside the dump's own words
};

// Only the groups that the question leaves.
nlohmann::json FilterThreads(const nlohmann::json& dump, const ThreadsQuestion& question);

void RenderThreads(std::ostream& out, const Terminal& terminal, const ThreadsHeader& header,
                   const nlohmann::json& dump, const ThreadsQuestion& question);

// Threads of the dump, and those of them without any stack.
struct ThreadsCount {
  size_t all = 0;
  size_t without_stack = 0;
};
ThreadsCount CountThreads(const nlohmann::json& dump);

}  // namespace sonde::cli
