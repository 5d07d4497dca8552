// SPDX-License-Identifier: Apache-2.0
// How numbers, times and lines look. Pure functions, but for what concerns the terminal.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>

namespace sonde::cli {

std::string Percent(double part, double whole);  // "94 %", "0.3 %", "0 %"
std::string Thousands(uint64_t number);          // "65,536"
std::string Bytes(double bytes);                 // "4.1 MiB"
std::string Seconds(double seconds);             // "812 ms", "9.98 s", "26 h 3 m"
std::string UtcTime(int64_t unix_ms);            // "2026-11-21 09:14:05 UTC"
std::string Fixed(double number, int decimals);

// Columns that the text takes on a terminal: UTF-8 sequences count once.
size_t DisplayWidth(std::string_view text);
std::string PadRight(std::string text, size_t width);
std::string PadLeft(const std::string& text, size_t width);
// Cut to `width` columns, ending in "…".
std::string Ellipsis(const std::string& text, size_t width);

// Control characters made harmless: names come from a process that need not be friendly.
std::string Printable(std::string_view text);

// What the stream behind a file descriptor can show.
struct Terminal {
  bool is_terminal = false;
  bool colour = false;  // a terminal, and neither NO_COLOR nor TERM=dumb
  size_t width = 100;   // columns to stay within; very large when not a terminal
};
Terminal TerminalOf(int fd);

// "label     text" lines, the label in bold on a terminal.
class Page {
 public:
  Page(std::ostream& out, const Terminal& terminal) : out_(out), terminal_(terminal) {}
  void Title(const std::string& text);
  void Line(const std::string& label, const std::string& text);
  // A continued line under the last label.
  void More(const std::string& text) { Line("", text); }
  size_t text_width() const;
  static constexpr size_t kLabelWidth = 10;

 private:
  std::ostream& out_;
  Terminal terminal_;
};

}  // namespace sonde::cli
