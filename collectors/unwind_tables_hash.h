// SPDX-License-Identifier: Apache-2.0
// A hash for noticing that something has changed; not for tables with keys from outside. Used by
// the unwind tables on the agent thread. Each step is a bijection of the value, so that one changed
// word always changes the result.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace sonde {

class WordHash {
 public:
  void Add(uint64_t word) {
    value_ = (value_ ^ word) * 0x9e3779b97f4a7c15;
    value_ ^= value_ >> 32;
  }
  void Add(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
      uint64_t word = 0;
      memcpy(&word, bytes + at, size - at < sizeof(word) ? size - at : sizeof(word));
      Add(word);
    }
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace sonde
