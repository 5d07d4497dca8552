// SPDX-License-Identifier: Apache-2.0
// Parameters of a query or of a form: "seconds=5&hz=99". Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sonde::http {

using Parameters = std::vector<std::pair<std::string, std::string>>;

// %XX and '+' decoded; a broken escape stays as it is written. At most kMaxParameters are read.
inline constexpr size_t kMaxParameters = 64;
Parameters ParseParameters(std::string_view text);

// The first of that name, or null.
const std::string* FindParameter(const Parameters& parameters, std::string_view name);

// Decimal digits with an optional '-', nothing else; nothing on overflow.
std::optional<int64_t> ParseInteger(std::string_view text);

// "0x1f" or "1f".
std::optional<uint64_t> ParseHex(std::string_view text);

}  // namespace sonde::http
