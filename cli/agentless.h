// SPDX-License-Identifier: Apache-2.0
// What can be said of a local process that has no agent: why there is none, and what /proc knows:
// RSS split, threads, CPU by thread over a short time. Used when a pid has no agent; reads /proc
// only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sonde::cli {

struct WhyNoAgent {
  std::string reason;  // one sentence
  std::string next;
};

// Static, setuid, preloaded but silent, or simply started without it.
WhyNoAgent ExplainNoAgent(int pid);

struct ThreadUse {
  int tid = 0;
  std::string name;
  double percent_of_core = 0;  // over the window
};

struct AgentlessLook {
  int pid = 0;
  std::string command;
  uint64_t rss_kib = 0;
  uint64_t anonymous_kib = 0;
  uint64_t file_kib = 0;
  uint64_t shared_kib = 0;
  uint64_t swap_kib = 0;
  int open_files = -1;  // -1: may not look
  double window_seconds = 0;
  double percent_of_core = 0;      // of all threads
  std::vector<ThreadUse> threads;  // busiest first
};

// Takes `window` long; throws Interrupted, or CliError when the process ends meanwhile.
AgentlessLook LookWithoutAgent(int pid, std::chrono::milliseconds window);

}  // namespace sonde::cli
