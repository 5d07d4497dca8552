// SPDX-License-Identifier: Apache-2.0
// What was wrong with the settings, one line each, kept for /debug/sonde/status. Filled while the
// host starts: it allocates nothing and cannot fail; lines beyond the buffer are only counted. Not
// thread-safe. 4 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sonde {

class Problems {
 public:
  static constexpr size_t kCapacity = 4096;

  void Add(std::string_view line) {
    ++count_;
    if (line.size() + 1 > kCapacity - used_) return;
    std::memcpy(text_ + used_, line.data(), line.size());
    used_ += static_cast<uint32_t>(line.size());
    text_[used_++] = '\n';
  }
  // Lines that were added, those that did not fit included.
  uint32_t count() const { return count_; }
  // Every line that fitted, each with its '\n'.
  std::string_view text() const { return {text_, used_}; }

 private:
  uint32_t count_ = 0;
  uint32_t used_ = 0;
  char text_[kCapacity] = {};
};

}  // namespace sonde
