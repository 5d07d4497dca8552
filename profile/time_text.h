// SPDX-License-Identifier: Apache-2.0
// Points in time as people type them and read them, in UTC. Used by the agent's endpoints and the
// CLI. Pure functions without libc's time zones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sonde {

inline constexpr const char* kTimeForms = "2026-11-21T09:14:05Z or seconds since 1970";

// Nanoseconds since 1970 of "2026-11-21T09:14:05Z" (fractions of a second too) or "1795252445.5".
// Years 1970 … 2200.
std::optional<int64_t> ParseTime(std::string_view text);

// "2026-11-21T09:14:05Z", whole seconds.
std::string FormatTime(int64_t unix_ns);
// "09:14:05".
std::string FormatTimeOfDay(int64_t unix_ns);
// "48s", "3m20s", "2h05m": as durations are typed.
std::string FormatLength(int64_t ns);

}  // namespace sonde
