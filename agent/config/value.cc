// SPDX-License-Identifier: Apache-2.0
// Text to value and back, by kind. The environment is parsed with this before the host has run, so
// there is no allocation, no locale and no errno here.
#include <cstring>
#include <iterator>
#include <optional>

#include "agent/config/address.h"
#include "agent/config/schema.h"

namespace sonde {
namespace {

struct Suffix {
  std::string_view text;
  int64_t factor;
};

// Kubernetes writes Mi, people write M and MiB: all are powers of two. "MB" would be ambiguous:
// refused.
constexpr Suffix kBytes[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"Gi", 1 << 30}, {"Mi", 1 << 20},
    {"Ki", 1 << 10},  {"G", 1 << 30},   {"M", 1 << 20},   {"K", 1 << 10},  {"", 1},
};
constexpr Suffix kMilliseconds[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"", 1000},
};
constexpr std::string_view kOn[] = {"on", "true", "yes", "1"};
constexpr std::string_view kOff[] = {"off", "false", "no", "0"};

// SIGKILL and SIGSTOP cannot be caught; 32 and 33 belong to glibc's threads.
constexpr int64_t kForbiddenSignals[] = {9, 19, 32, 33};

template <typename T>
T* Member(const Setting& setting, Settings* settings) {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(settings) + setting.offset);
}
template <typename T>
const T& Member(const Setting& setting, const Settings& settings) {
  return *reinterpret_cast<const T*>(reinterpret_cast<const char*>(&settings) + setting.offset);
}

bool IsText(ValueKind kind) {
  return kind == ValueKind::Text || kind == ValueKind::Path || kind == ValueKind::Address;
}
size_t SizeOf(ValueKind kind) {
  if (kind == ValueKind::Switch) return sizeof(bool);
  return IsText(kind) ? sizeof(Text) : sizeof(int64_t);
}

template <typename Range>
bool Contains(const Range& range, const auto& value) {
  for (const auto& item : range) {
    if (item == value) return true;
  }
  return false;
}

std::optional<int64_t> Digits(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;  // 18 digits cannot overflow
  int64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::optional<int64_t> WithSuffix(std::string_view text, std::span<const Suffix> suffixes) {
  for (const Suffix& suffix : suffixes) {
    if (!text.ends_with(suffix.text)) continue;
    const auto number = Digits(text.substr(0, text.size() - suffix.text.size()));
    int64_t product = 0;
    if (number && !__builtin_mul_overflow(*number, suffix.factor, &product)) return product;
  }
  return std::nullopt;
}

std::optional<int64_t> WordIndex(std::string_view words, std::string_view text) {
  for (int64_t index = 0; !words.empty(); ++index) {
    const size_t end = std::min(words.find('|'), words.size());
    if (words.substr(0, end) == text) return index;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return std::nullopt;
}

std::string_view WordAt(std::string_view words, int64_t index) {
  for (; index > 0; --index) words.remove_prefix(std::min(words.find('|') + 1, words.size()));
  return words.substr(0, words.find('|'));
}

std::optional<int64_t> SignalNumber(std::string_view text) {
  if (text == "auto") return 0;
  const auto number = Digits(text);
  if (!number || *number < 1 || *number > 64) return std::nullopt;
  if (Contains(kForbiddenSignals, *number)) return std::nullopt;
  return number;
}

std::optional<int64_t> InRange(const Setting& setting, std::optional<int64_t> value) {
  if (!value || *value < setting.min || *value > setting.max) return std::nullopt;
  return value;
}

std::optional<int64_t> ParseNumber(const Setting& setting, std::string_view text) {
  switch (setting.kind) {
    case ValueKind::Bytes:
      return InRange(setting, WithSuffix(text, kBytes));
    case ValueKind::Duration:
      return InRange(setting, WithSuffix(text, kMilliseconds));
    case ValueKind::Signal:
      return SignalNumber(text);
    case ValueKind::Choice:
      return WordIndex(setting.unit, text);
    default:
      return InRange(setting, Digits(text));
  }
}

bool ParseText(const Setting& setting, std::string_view text, Text* value) {
  if (text.size() > static_cast<size_t>(setting.max)) return false;
  if (text.find_first_of(std::string_view("\0\n\r", 3)) != text.npos) return false;
  if (setting.kind == ValueKind::Path && !text.empty() && text[0] != '/') return false;
  if (setting.kind == ValueKind::Address && !text.empty() && !ParseAddress(text)) return false;
  *value = Text();
  std::memcpy(value->data, text.data(), text.size());
  return true;
}

bool ParseSwitch(std::string_view text, bool* value) {
  if (!Contains(kOn, text) && !Contains(kOff, text)) return false;
  *value = Contains(kOn, text);
  return true;
}

// The largest unit that divides it, so that defaults read as people write them.
Line FormatWithSuffix(int64_t value, std::span<const Suffix> suffixes) {
  for (const Suffix& suffix : suffixes) {
    if (value != 0 && value % suffix.factor == 0)
      return Line().Add(value / suffix.factor).Add(suffix.text);
  }
  return Line().Add(value);
}
Line FormatBytes(int64_t value) { return FormatWithSuffix(value, kBytes); }
Line FormatDuration(int64_t value) {
  static constexpr Suffix kLargestFirst[] = {
      {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}};
  return FormatWithSuffix(value, kLargestFirst);
}

Line Range(std::string_view what, const Line& min, const Line& max) {
  return Line().Add(what).Add(" from ").Add(min.view()).Add(" to ").Add(max.view());
}

Line ExpectedWords(std::string_view words) {
  Line line;
  for (char c : words) line.Add(c == '|' ? std::string_view(" or ") : std::string_view(&c, 1));
  return line;
}

}  // namespace

std::optional<int64_t> ParseDuration(std::string_view text, int64_t min_ms, int64_t max_ms) {
  const auto value = WithSuffix(text, kMilliseconds);
  return value && *value >= min_ms && *value <= max_ms ? value : std::nullopt;
}

bool ParseValue(const Setting& setting, std::string_view text, Settings* settings) {
  if (IsText(setting.kind)) return ParseText(setting, text, Member<Text>(setting, settings));
  if (setting.kind == ValueKind::Switch) return ParseSwitch(text, Member<bool>(setting, settings));
  const auto number = ParseNumber(setting, text);
  if (number) *Member<int64_t>(setting, settings) = *number;
  return number.has_value();
}

Line FormatValue(const Setting& setting, const Settings& settings) {
  if (IsText(setting.kind)) return Line().Add(Member<Text>(setting, settings).view());
  if (setting.kind == ValueKind::Switch)
    return Line().Add(Member<bool>(setting, settings) ? "on" : "off");
  const int64_t number = Member<int64_t>(setting, settings);
  if (setting.kind == ValueKind::Bytes) return FormatBytes(number);
  if (setting.kind == ValueKind::Duration) return FormatDuration(number);
  if (setting.kind == ValueKind::Choice) return Line().Add(WordAt(setting.unit, number));
  if (setting.kind == ValueKind::Signal && number == 0) return Line().Add("auto");
  return Line().Add(number);
}

Line Expected(const Setting& setting) {
  switch (setting.kind) {
    case ValueKind::Switch:
      return Line().Add("on or off");
    case ValueKind::Text:
      return Line().Add("one line of at most ").Add(setting.max).Add(" bytes");
    case ValueKind::Path:
      return Line().Add("an absolute path of at most ").Add(setting.max).Add(" bytes");
    case ValueKind::Address:
      return Line().Add(kAddressForms);
    case ValueKind::Bytes:
      return Range("a size", FormatBytes(setting.min), FormatBytes(setting.max))
          .Add(", as 65536, 64KiB or 16MiB");
    case ValueKind::Duration:
      return Range("a duration", FormatDuration(setting.min), FormatDuration(setting.max))
          .Add(", as 500ms, 30s, 5m or 1h");
    case ValueKind::Signal:
      return Line().Add("auto or a signal number from 1 to 64 except 9, 19, 32 and 33");
    case ValueKind::Choice:
      return ExpectedWords(setting.unit);
    case ValueKind::Integer:
      break;
  }
  return Range("an integer", Line().Add(setting.min), Line().Add(setting.max))
      .Add(" (")
      .Add(setting.unit)
      .Add(")");
}

void CopyValue(const Setting& setting, const Settings& from, Settings* to) {
  std::memcpy(Member<char>(setting, to), &Member<char>(setting, from), SizeOf(setting.kind));
}

bool SameValue(const Setting& setting, const Settings& a, const Settings& b) {
  return std::memcmp(&Member<char>(setting, a), &Member<char>(setting, b), SizeOf(setting.kind)) ==
         0;
}

}  // namespace sonde
