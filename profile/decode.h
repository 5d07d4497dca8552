// SPDX-License-Identifier: Apache-2.0
// profile.proto bytes, gzipped or not, to a profile in memory. Used by the CLI on whatever an
// endpoint or a file gives it, so nothing in the bytes is trusted. Pure function. Memory: bounded
// by DecodeLimits, about max_bytes for the text and 80 bytes an item. Unknown fields are skipped,
// as the format demands.
#pragma once

#include <cstddef>
#include <string_view>

#include "profile/pprof.h"
#include "profile/result.h"

namespace sonde::pprof {

struct DecodeLimits {
  size_t max_bytes = size_t{256} << 20;  // unpacked
  // Estimate of what the decoded form takes. An empty message is two bytes in the file and a whole
  // struct in memory, so the size of the file alone bounds nothing.
  size_t max_memory_bytes = size_t{1} << 30;
};

// After success every index in the profile is in range, each sample has one value a sample type,
// and the string table begins with "". The error says what was expected and where.
Result<Profile> Decode(std::string_view bytes, const DecodeLimits& limits = {});

}  // namespace sonde::pprof
