// SPDX-License-Identifier: Apache-2.0
// A CPU profile by thread, each with its hottest function. Pure. Memory: one row a thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profile/pprof.h"

namespace sonde::cli {

struct ThreadCpuRow {
  std::string name;
  int64_t tid = 0;
  int64_t pid = 0;
  double ns = 0;
  std::string function;  // in which it spent most of that
  double function_ns = 0;
};

// Busiest first. `only_pid` 0: of every process.
std::vector<ThreadCpuRow> ThreadsByCpu(const pprof::Profile& profile, int only_pid);

}  // namespace sonde::cli
