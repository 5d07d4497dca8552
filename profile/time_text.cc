// SPDX-License-Identifier: Apache-2.0
#include "profile/time_text.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace sonde {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kDaySeconds = 86'400;
constexpr int64_t kMaxSeconds = 7'258'118'400;  // the year 2200

// Howard Hinnant's day count: days since 1970-01-01 of a date of the Gregorian calendar.
int64_t DaysOf(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = year / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719'468;
}

struct Date {
  int64_t year, month, day;
};

Date DateOf(int64_t days) {
  days += 719'468;
  const int64_t era = days / 146'097;
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  const int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted + 2) / 5 + 1};
}

// All of `text` is digits; -1 else.
int64_t Digits(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && text[0] != '-' ? value : -1;
}

// "" or ".25" as nanoseconds; -1: neither.
int64_t Fraction(std::string_view text) {
  if (text.empty()) return 0;
  if (text[0] != '.' || text.size() < 2 || text.size() > 10) return -1;
  int64_t value = Digits(text.substr(1));
  for (size_t i = text.size(); i < 10 && value > 0; ++i) value *= 10;
  return value;
}

std::optional<int64_t> Together(int64_t seconds, int64_t fraction_ns) {
  if (seconds < 0 || seconds > kMaxSeconds || fraction_ns < 0) return std::nullopt;
  return seconds * kSecondNs + fraction_ns;
}

bool Within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

// "2026-11-21T09:14:05" of a valid date; -1 else.
int64_t SecondsOf(std::string_view text) {
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
  for (size_t i = 0; i < kShape.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return -1;
  }
  const auto at = [&](size_t from, size_t size) { return Digits(text.substr(from, size)); };
  const Date date{at(0, 4), at(5, 2), at(8, 2)};
  if (!Within(date.year, 1970, 2200) || !Within(date.month, 1, 12) || !Within(date.day, 1, 31))
    return -1;
  const int64_t days = DaysOf(date.year, date.month, date.day);
  if (DateOf(days).day != date.day) return -1;  // the 31st of a shorter month
  const int64_t hour = at(11, 2), minute = at(14, 2), second = at(17, 2);
  if (hour > 23 || minute > 59 || second > 59) return -1;
  return days * kDaySeconds + hour * 3600 + minute * 60 + second;
}

}  // namespace

std::optional<int64_t> ParseTime(std::string_view text) {
  constexpr size_t kDateSize = 19;
  if (text.size() > kDateSize && text[4] == '-') {
    if (text.back() != 'Z') return std::nullopt;
    const int64_t seconds = SecondsOf(text.substr(0, kDateSize));
    return Together(seconds, Fraction(text.substr(kDateSize, text.size() - kDateSize - 1)));
  }
  const size_t dot = std::min(text.find('.'), text.size());
  if (dot == 0) return std::nullopt;
  return Together(Digits(text.substr(0, dot)), Fraction(text.substr(dot)));
}

std::string FormatTime(int64_t unix_ns) {
  const Date date = DateOf(unix_ns / kSecondNs / kDaySeconds);
  char text[48];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT", static_cast<int>(date.year),
                static_cast<int>(date.month), static_cast<int>(date.day));
  return text + FormatTimeOfDay(unix_ns) + "Z";
}

std::string FormatTimeOfDay(int64_t unix_ns) {
  const int64_t second = unix_ns / kSecondNs % kDaySeconds;
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d", static_cast<int>(second / 3600),
                static_cast<int>(second / 60 % 60), static_cast<int>(second % 60));
  return text;
}

std::string FormatLength(int64_t ns) {
  const auto seconds = (ns + kSecondNs / 2) / kSecondNs;
  char text[48];
  if (seconds < 60) return std::to_string(seconds) + "s";
  if (seconds < 3600) {
    std::snprintf(text, sizeof text, seconds % 60 == 0 ? "%dm" : "%dm%02ds",
                  static_cast<int>(seconds / 60), static_cast<int>(seconds % 60));
  } else {
    std::snprintf(text, sizeof text, seconds % 3600 < 60 ? "%ldh" : "%ldh%02ldm", seconds / 3600,
                  seconds % 3600 / 60);
  }
  return text;
}

}  // namespace sonde
