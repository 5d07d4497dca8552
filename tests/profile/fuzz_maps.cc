// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "profile/mappings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto table = sonde::ParseMaps(std::string_view(reinterpret_cast<const char*>(data), size));
  for (const sonde::Mapping& mapping : table.mappings) {
    if (mapping.start >= mapping.limit || mapping.path.empty()) __builtin_trap();
  }
  return 0;
}
