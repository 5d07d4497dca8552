// SPDX-License-Identifier: Apache-2.0
// The answer of `sonde heap`: the table with error bars first, then the heaviest stack, what is
// missing and what to type next. Pure functions of their arguments.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "cli/heap_summary.h"
#include "cli/render.h"

namespace sonde::cli {

struct HeapHeader {
  std::string target;    // as typed
  std::string process;   // "pid 7 redis-server", empty when unknown
  std::string agent;     // "agent 0.1.0", "plain Go pprof", "saved profile"
  std::string asked;     // "older than 10m", "at its highest point"; may be empty
  std::string saved_as;  // may be empty
  std::string next;
};

// "±3 %" of a value's standard error; "" when it is known exactly.
std::string ErrorText(double value, double error);

// "pid 7 redis-server  1.2 GiB ±3 % inuse_space  …": the first line, also of pictures.
std::string HeapTitle(const HeapHeader& header, const HeapSummary& summary);

void RenderHeap(std::ostream& out, const Terminal& terminal, const HeapHeader& header,
                const HeapSummary& summary);
nlohmann::json HeapToJson(const HeapHeader& header, const HeapSummary& summary);

}  // namespace sonde::cli
