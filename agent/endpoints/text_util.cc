// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

unsigned char At(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

bool IsContinuation(std::string_view text, size_t i) {
  return i < text.size() && (At(text, i) & 0xc0) == 0x80;
}

// Length of the well-formed sequence at `i` (Unicode's table 3-7), or 0.
size_t SequenceLength(std::string_view text, size_t i) {
  const unsigned char first = At(text, i);
  if (first < 0x80) return 1;
  if (!IsContinuation(text, i + 1)) return 0;
  const unsigned char second = At(text, i + 1);
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (!IsContinuation(text, i + 2)) return 0;
  if ((first & 0xf0) == 0xe0) {
    const bool overlong = first == 0xe0 && second < 0xa0;
    const bool surrogate = first == 0xed && second >= 0xa0;
    return overlong || surrogate ? 0 : 3;
  }
  if (first < 0xf0 || first > 0xf4 || !IsContinuation(text, i + 3)) return 0;
  const bool outside = (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
  return outside ? 0 : 4;
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = SequenceLength(text, i);
    if (length == 0) out += "\xef\xbf\xbd";
    out += text.substr(i, length);
    i += length == 0 ? 1 : length;
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace sonde
