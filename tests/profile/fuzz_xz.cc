// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "profile/xz.h"

// Whatever the bytes say, no more comes out than was allowed.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMost = 1 << 20;
  const auto unpacked = sonde::UnpackXz({data, size}, kMost);
  if (unpacked && unpacked->size() > kMost) __builtin_trap();
  return 0;
}
