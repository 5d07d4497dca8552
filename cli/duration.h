// SPDX-License-Identifier: Apache-2.0
// Durations as people type them. A pure function.
#pragma once

#include <charconv>
#include <chrono>
#include <string>

#include "cli/outcome.h"

namespace sonde::cli {

// "500ms", "30s", "15m", "1h", "2d", or a bare number of seconds; throws a usage error.
inline std::chrono::milliseconds ParseDuration(const std::string& text) {
  constexpr struct {
    std::string_view unit;
    int64_t ms;
  } kUnits[] = {{"ms", 1},     {"s", 1000},      {"", 1000},
                {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  constexpr int64_t kMaxNumber = 1'000'000;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error == std::errc() && number > 0 && number <= kMaxNumber)
    for (const auto& known : kUnits)
      if (unit == known.unit) return std::chrono::milliseconds(number * known.ms);
  throw UsageError("'" + text + "' is no duration: expected 500ms, 30s, 15m, 1h or 2d");
}

}  // namespace sonde::cli
