// SPDX-License-Identifier: Apache-2.0
// Hexadecimal text without locale, stream or format string. Used by all of profile/; pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sonde {

// Lower case, without "0x", without leading zeros.
std::string Hex(uint64_t value);
// Two lower-case digits a byte.
std::string HexBytes(std::span<const uint8_t> bytes);
// The whole text, 1 to 16 hex digits without "0x"; else nothing.
std::optional<uint64_t> ParseHex(std::string_view text);

}  // namespace sonde
