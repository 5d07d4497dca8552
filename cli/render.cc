// SPDX-License-Identifier: Apache-2.0
#include "cli/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace sonde::cli {
namespace {

constexpr size_t kUnlimited = 100'000;
constexpr size_t kNarrowest = 40;

bool IsSequenceStart(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

}  // namespace

std::string Fixed(double number, int decimals) {
  char text[64];
  snprintf(text, sizeof text, "%.*f", decimals, number);
  return text;
}

std::string Percent(double part, double whole) {
  if (whole <= 0 || part <= 0) return "0 %";
  const double percent = 100 * part / whole;
  if (percent < 0.05) return "<0.1 %";
  return Fixed(percent, percent < 9.95 ? 1 : 0) + " %";
}

std::string Thousands(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

std::string Bytes(double bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; std::abs(bytes) >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  return Fixed(bytes, unit == 0 || bytes >= 99.95 ? 0 : 1) + " " + kUnits[unit];
}

std::string Seconds(double seconds) {
  if (seconds < 0.9995) return Fixed(seconds * 1000, 0) + " ms";
  if (seconds < 9.995) return Fixed(seconds, 2) + " s";
  if (seconds < 120) return Fixed(seconds, seconds < 99.95 ? 1 : 0) + " s";
  const auto whole = static_cast<uint64_t>(std::llround(seconds));
  if (whole < 2 * 3600)
    return std::to_string(whole / 60) + " m " + std::to_string(whole % 60) + " s";
  if (whole < 48 * 3600)
    return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " m";
  return std::to_string(whole / 86400) + " d " + std::to_string(whole / 3600 % 24) + " h";
}

std::string UtcTime(int64_t unix_ms) {
  const time_t seconds = unix_ms / 1000;
  struct tm parts = {};
  gmtime_r(&seconds, &parts);
  char text[64];
  strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), IsSequenceStart));
}

std::string PadRight(std::string text, size_t width) {
  const size_t have = DisplayWidth(text);
  if (have < width) text.append(width - have, ' ');
  return text;
}

std::string PadLeft(const std::string& text, size_t width) {
  const size_t have = DisplayWidth(text);
  return have < width ? std::string(width - have, ' ') + text : text;
}

std::string Ellipsis(const std::string& text, size_t width) {
  if (DisplayWidth(text) <= width || width == 0) return text;
  size_t end = 0;
  for (size_t columns = 0; end < text.size(); ++end) {
    if (IsSequenceStart(text[end]) && columns++ == width - 1) break;
  }
  return text.substr(0, end) + "…";
}

std::string Printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return clean;
}

Terminal TerminalOf(int fd) {
  Terminal terminal;
  terminal.is_terminal = isatty(fd) == 1;
  terminal.width = kUnlimited;
  if (!terminal.is_terminal) return terminal;
  const char* kind = getenv("TERM");
  terminal.colour = getenv("NO_COLOR") == nullptr && kind != nullptr && strcmp(kind, "dumb") != 0;
  winsize size = {};
  const bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  terminal.width = known ? std::max<size_t>(size.ws_col, kNarrowest) : 80;
  return terminal;
}

size_t Page::text_width() const { return terminal_.width - kLabelWidth; }

void Page::Title(const std::string& text) {
  out_ << Printable(text) << "\n";  // wraps on a narrow terminal: nothing in it may be lost
}

void Page::Line(const std::string& label, const std::string& text) {
  const std::string padded = PadRight(label, kLabelWidth - 1) + " ";
  const bool bold = terminal_.colour && !label.empty();
  out_ << (bold ? "\033[1m" : "") << padded << (bold ? "\033[0m" : "") << Printable(text) << "\n";
}

}  // namespace sonde::cli
