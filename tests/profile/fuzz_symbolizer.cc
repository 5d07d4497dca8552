// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>

#include "profile/symbolizer.h"

// Any bytes as the file of a mapping, .gnu_debugdata included: names stay bounded, and a function
// holds the address that was asked about.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  sonde::SymbolizerOptions options;
  options.debug_root = "";
  options.max_index_bytes = 64 << 10;
  options.max_name_bytes = 4 << 10;
  options.max_debugdata_bytes = 1 << 20;
  options.open = [&file](const sonde::Mapping&) { return sonde::OpenText(file); };
  sonde::Symbolizer symbolizer(std::move(options));
  sonde::Mapping mapping;
  mapping.start = 0x7f0000000000;
  mapping.limit = mapping.start + size;
  mapping.path = "/fuzzed";
  for (uint64_t at = mapping.start; at < mapping.limit; at += 16) {
    const sonde::Symbol symbol = symbolizer.Lookup(mapping, at);
    if (!symbol.name.empty() && at - symbol.start >= symbol.size) __builtin_trap();
  }
  return 0;
}
