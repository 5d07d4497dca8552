// SPDX-License-Identifier: Apache-2.0
// A short text put together without libc, for errors and file names. Fixed size, cut at its end,
// always NUL-terminated. Not thread-safe; lives on the caller's stack.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde {

template <size_t kBytes>
class FixedText {
 public:
  // Async-signal-safe.
  FixedText& Add(const char* text) {
    while (*text != '\0' && length_ + 1 < kBytes) text_[length_++] = *text++;
    text_[length_] = '\0';
    return *this;
  }
  // Async-signal-safe.
  FixedText& Add(uint64_t number) {
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return Add(digits + at);
  }
  // Async-signal-safe.
  void Clear() {
    length_ = 0;
    text_[0] = '\0';
  }
  // Async-signal-safe.
  const char* c_str() const { return text_; }
  // Async-signal-safe.
  size_t length() const { return length_; }
  // Async-signal-safe.
  bool full() const { return length_ + 1 >= kBytes; }

 private:
  char text_[kBytes] = {};
  size_t length_ = 0;
};

using RegionError = FixedText<200>;

}  // namespace sonde
