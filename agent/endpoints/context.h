// SPDX-License-Identifier: Apache-2.0
// What the endpoints share: the agent behind them, the settings, and what is remembered between
// requests. One per agent; agent thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/config/config_store.h"
#include "agent/endpoints/process_reader.h"
#include "agent/endpoints/sources.h"
#include "agent/endpoints/thread_totals.h"
#include "agent/http/token.h"
#include "profile/symbolizer.h"

namespace sonde {

struct ListenerState {
  std::string address;  // as it was configured
  std::string state;    // "listening", "address already in use, tried again every 5 s" …
};

struct Context {
  Context(AgentSources* agent, ConfigStore* settings)
      : sources(agent), config(settings), token(settings->current().token_file.data) {}

  AgentSources* const sources;
  ConfigStore* const config;
  http::TokenFile token;
  bool inside_container = false;
  std::vector<ListenerState> listeners;

  int open_captures = 0;
  // The agent's thread must stop: answers are given as far as they are, without names.
  bool in_a_hurry = false;
  int open_walls = 0;
  int open_dumps = 0;                                         // of all threads
  std::map<std::string, uint64_t> profile_downloads;          // by profile
  std::map<std::pair<std::string, int>, uint64_t> responses;  // by path of the table, status
  ThreadTotals thread_totals;
  ProcessReader process;

  // The object that is being fetched piece by piece.
  struct ServedObject {
    std::string build_id;
    std::unique_ptr<ByteSource> bytes;
  };
  ServedObject served_object;

  // Made when the first name is asked for; keeps its indexes for the next profile.
  Symbolizer& Symbols();

 private:
  std::unique_ptr<Symbolizer> symbols_;
};

}  // namespace sonde
