// SPDX-License-Identifier: Apache-2.0
// Looks lines up in a process of its own. DWARF is foreign input to a large parser: what crashes,
// loops or eats memory there costs the lines of one object, not the answer. Used by add_lines; one
// thread. Bounded: time and address space by WorkerLimits, the answers by kMaxAnswerBytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/dwarf_lines.h"

namespace sonde::cli {

struct LineRequest {
  std::string name;  // of the object, for problems
  std::string path;
  std::vector<uint64_t> addresses;  // link-time, sorted
};

struct WorkerLimits {
  std::chrono::milliseconds time{30'000};  // for all requests together
  uint64_t address_space_bytes = uint64_t{6} << 30;
};

inline constexpr size_t kMaxAnswerBytes = size_t{256} << 20;

// requests[request].addresses[index] has these frames.
using LineFound =
    std::function<void(size_t request, size_t index, const std::vector<SourceFrame>& frames)>;

// One sentence for each object that has no lines, or not all of them.
std::vector<std::string> RunLineWorker(const std::vector<LineRequest>& requests,
                                       const std::string& debug_path, const WorkerLimits& limits,
                                       const LineFound& found);

}  // namespace sonde::cli
