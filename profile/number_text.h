// SPDX-License-Identifier: Apache-2.0
// Numbers as text, without locale. Used by the agent and the command. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace sonde {

// Three decimals: 1.5 -> "1.500". Beyond ±9e15 (and for what is no number) "0".
std::string FormatDecimal(double value);

// "0x7f3c00001000".
std::string HexText(uint64_t value);

// "0.8 s", "12 s", "3 m 5 s", "26 h 3 m".
std::string DurationText(double seconds);

}  // namespace sonde
