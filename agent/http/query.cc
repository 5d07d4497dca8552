// SPDX-License-Identifier: Apache-2.0
#include "agent/http/query.h"

#include <algorithm>
#include <charconv>

namespace sonde::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                        HexDigit(text[i + 2]) >= 0;
    if (escape) {
      out.push_back(static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

template <typename T>
std::optional<T> ParseWhole(std::string_view text, int base) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Parameters ParseParameters(std::string_view text) {
  Parameters parameters;
  while (!text.empty() && parameters.size() < kMaxParameters) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view item = text.substr(0, end);
    const size_t equals = std::min(item.find('='), item.size());
    if (!item.empty()) {
      parameters.emplace_back(Decode(item.substr(0, equals)),
                              Decode(item.substr(std::min(equals + 1, item.size()))));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parameters;
}

const std::string* FindParameter(const Parameters& parameters, std::string_view name) {
  for (const auto& [key, value] : parameters) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::optional<int64_t> ParseInteger(std::string_view text) { return ParseWhole<int64_t>(text, 10); }

std::optional<uint64_t> ParseHex(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  return ParseWhole<uint64_t>(text, 16);
}

}  // namespace sonde::http
