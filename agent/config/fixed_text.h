// SPDX-License-Identifier: Apache-2.0
// A line of text that is built in place: no allocation, no locale, no libc. Used where the
// environment is parsed, before the host has run. Not thread-safe. What does not fit is cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sonde {

template <size_t N>
class FixedLine {
 public:
  FixedLine& Add(std::string_view text) {
    for (char c : text) {
      if (size_ + 1 < N) data_[size_++] = c;
    }
    return *this;
  }
  FixedLine& Add(int64_t value) {
    char digits[20];
    size_t count = 0;
    uint64_t rest = value < 0 ? ~static_cast<uint64_t>(value) + 1 : static_cast<uint64_t>(value);
    do {
      digits[count++] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    if (value < 0) Add("-");
    while (count > 0) Add(std::string_view(&digits[--count], 1));
    return *this;
  }
  // Foreign text: at most `limit` bytes, control characters shown as '?'.
  FixedLine& AddForeign(std::string_view text, size_t limit) {
    for (char c : text.substr(0, limit)) {
      const bool plain = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
      Add(plain ? std::string_view(&c, 1) : std::string_view("?"));
    }
    return text.size() > limit ? Add("...") : *this;
  }
  std::string_view view() const { return {data_, size_}; }

 private:
  char data_[N] = {};
  size_t size_ = 0;
};

}  // namespace sonde
