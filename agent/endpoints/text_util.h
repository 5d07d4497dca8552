// SPDX-License-Identifier: Apache-2.0
// Foreign bytes made fit for JSON, HTML and metric labels; numbers without locale. Pure;
// thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sonde {

// Bytes that are not UTF-8 become U+FFFD: thread names and paths may hold anything.
std::string ValidUtf8(std::string_view text);

// For text and attribute values.
std::string EscapeHtml(std::string_view text);

// Three decimals: 1.5 -> "1.500". Beyond ±9e15 (and for what is no number) "0".
std::string FormatDecimal(double value);

// "0x7f3c00001000".
std::string HexText(uint64_t value);

// "0.8 s", "12 s", "3 m 5 s", "26 h 3 m".
std::string DurationText(double seconds);

}  // namespace sonde
