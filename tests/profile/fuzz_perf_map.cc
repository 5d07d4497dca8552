// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "profile/perf_map.h"

// What is named holds the address that was asked about.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<uint64_t> addresses = {0,         1, 0x1000, 0x1004, 0x1fff, 0x7f0000001000,
                                           UINT64_MAX};
  std::vector<sonde::PerfMapQuery> queries;
  for (const uint64_t address : addresses) {
    for (const sonde::PerfMapTime time :
         {sonde::PerfMapTime{0, 0}, sonde::PerfMapTime{20, 40}, sonde::PerfMapTime{}})
      queries.push_back({address, time});
  }
  const auto text = sonde::OpenText(std::string(reinterpret_cast<const char*>(data), size));
  const auto names = sonde::LookUpPerfMap(*text, queries);
  if (names.size() != queries.size()) __builtin_trap();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].name.empty()) continue;
    if (queries[i].time.to_bytes == 0) __builtin_trap();
    if (queries[i].address - names[i].start >= names[i].size) __builtin_trap();
    if (names[i].name.size() > sonde::kMaxPerfMapName) __builtin_trap();
  }
  const std::vector<uint64_t> sizes = {20, 40};
  if (sonde::FindRenamed(*text, addresses, sizes).size() != 3) __builtin_trap();
  return 0;
}
