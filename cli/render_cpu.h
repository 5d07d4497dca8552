// SPDX-License-Identifier: Apache-2.0
// The answer of `sonde cpu`: the table first, then whose threads, the heaviest stack, what is
// missing and what to type next. Pure functions of their arguments.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/cpu_summary.h"
#include "cli/render.h"
#include "cli/render_report.h"

namespace sonde::cli {

struct CpuHeader {
  std::string target;   // as typed
  std::string process;  // "pid 7 redis-server", empty when unknown
  std::string agent;    // "agent 0.1.0", "plain Go pprof", "saved profile"
  std::string saved_as;
  std::string next;
  std::string lines;  // how many addresses have one, and why others have not; may be empty
};

// "pid 7 redis-server  0.81 cores over 2.00 s  from …": the first line, also of pictures.
std::string CpuTitle(const CpuHeader& header, const CpuSummary& summary);

void RenderCpu(std::ostream& out, const Terminal& terminal, const CpuHeader& header,
               const CpuSummary& summary);
nlohmann::json CpuToJson(const CpuHeader& header, const CpuSummary& summary);

}  // namespace sonde::cli
