// SPDX-License-Identifier: Apache-2.0
#include "profile/number_text.h"

#include <cmath>

namespace sonde {

std::string FormatDecimal(double value) {
  if (!(std::fabs(value) < 9e15)) return "0";
  const int64_t thousandths =
      static_cast<int64_t>(std::fabs(value) * 1000 + 0.5);  // no libm in the agent
  std::string digits = std::to_string(thousandths % 1000);
  digits.insert(0, 3 - digits.size(), '0');
  return (value < 0 && thousandths != 0 ? "-" : "") + std::to_string(thousandths / 1000) + "." +
         digits;
}

std::string HexText(uint64_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (; value != 0 || text.empty(); value >>= 4) text.insert(text.begin(), kDigits[value & 15]);
  return "0x" + text;
}

std::string DurationText(double seconds) {
  if (!(seconds >= 0)) return "0 s";
  if (seconds < 10) {
    const std::string text = FormatDecimal(seconds);
    return text.substr(0, text.size() - 2) + " s";
  }
  if (seconds > 9e9) return "long";
  const auto whole = static_cast<uint64_t>(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  const uint64_t minutes = whole / 60;
  if (minutes < 60) return std::to_string(minutes) + " m " + std::to_string(whole % 60) + " s";
  return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " m";
}

}  // namespace sonde
