// SPDX-License-Identifier: Apache-2.0
#include "profile/hex.h"

#include <charconv>

namespace sonde {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr size_t kMaxDigits = 16;

}  // namespace

std::string Hex(uint64_t value) {
  char text[kMaxDigits];
  const auto end = std::to_chars(text, text + sizeof text, value, 16).ptr;
  return std::string(text, end);
}

std::string HexBytes(std::span<const uint8_t> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

std::optional<uint64_t> ParseHex(std::string_view text) {
  if (text.empty() || text.size() > kMaxDigits || text.front() == '-') return std::nullopt;
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace sonde
