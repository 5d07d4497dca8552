// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>

#include "profile/demangle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string name(reinterpret_cast<const char*>(data), size);
  (void)sonde::Demangle("_Z" + name);
  (void)sonde::Demangle("_ZN" + name + "17h0123456789abcdefE");
  return 0;
}
