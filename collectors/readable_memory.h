// SPDX-License-Identifier: Apache-2.0
// Somebody's memory that can be read without a fault: of this process, of another one, of a dead
// one's core file. Says only how to ask; see who implements it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde {

class ReadableMemory {
 public:
  // False: not all of it can be read. Cold path only.
  [[nodiscard]] virtual bool Read(uint64_t address, void* out, size_t size) const = 0;

  template <typename T>
  [[nodiscard]] bool ReadObject(uint64_t address, T* out) const {
    return Read(address, out, sizeof(*out));
  }

 protected:
  ~ReadableMemory() = default;
};

}  // namespace sonde
