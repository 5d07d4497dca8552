// SPDX-License-Identifier: Apache-2.0
// Which part of the recording a request asks for: `last`, or `from` and `to`; and what its answer
// says of it. Pure functions. No memory of its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "agent/http/handler.h"
#include "agent/http/query.h"
#include "profile/cpu_window.h"

namespace sonde {

struct PastQuestion {
  bool asked = false;
  int64_t from_ns = 0;  // since 1970
  int64_t to_ns = 0;
  std::string error;  // what was expected; empty: it is well formed
};

// `of_now`: parameters that ask for a capture, and cannot stand beside these.
PastQuestion TakePast(const http::Parameters& parameters, int64_t now_ns,
                      std::span<const char* const> of_now);

// 404: there is nothing of it.
http::Answer NothingRecorded(const PastQuestion& question, const CpuWindow& window);

// X-Sonde-Window: what the answer covers, and its notes.
void AddWindowHeader(const CpuWindow& window, std::span<const std::string> notes,
                     http::Response* response);

}  // namespace sonde
