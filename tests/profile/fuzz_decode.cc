// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "profile/decode.h"
#include "profile/encode.h"
#include "profile/report.h"

// What decodes must also encode, decode to the same again, and be reportable.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sonde::pprof::DecodeLimits limits;
  limits.max_bytes = 1 << 20;
  limits.max_memory_bytes = 64 << 20;
  const auto profile =
      sonde::pprof::Decode(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!profile) return 0;
  const std::string bytes = sonde::pprof::Encode(*profile);
  const auto again = sonde::pprof::Decode(bytes);
  if (!again || sonde::pprof::Encode(*again) != bytes) __builtin_trap();
  (void)sonde::pprof::MakeReport(*profile, {}).ok();
  (void)sonde::pprof::MakeCallTree(*profile, {}).ok();
  return 0;
}
