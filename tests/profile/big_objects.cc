// SPDX-License-Identifier: Apache-2.0
// Symbolizes 20,000 addresses spread over the biggest objects of the machine, and fails when the
// symbolizer needs more memory than it was allowed. Times are printed, not checked.
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "profile/symbolizer.h"

namespace {

constexpr uint64_t kLookups = 20000;

double MsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

long PeakKib() {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

uint64_t NameAll(sonde::Symbolizer* symbolizer, const sonde::Mapping& mapping) {
  uint64_t named = 0;
  const uint64_t step = (mapping.limit - mapping.start) / kLookups + 1;
  for (uint64_t at = mapping.start; at < mapping.limit; at += step) {
    named += symbolizer->Lookup(mapping, at).name.empty() ? 0 : 1;
  }
  return named;
}

bool Run(const std::string& path, size_t max_index_bytes) {
  auto elf = sonde::ElfFile::Open(std::move(*sonde::OpenFile(path)));
  if (!elf) return false;
  sonde::Mapping mapping;
  for (const auto& segment : (*elf)->segments()) {
    if (!segment.executable || segment.file_size < mapping.limit - mapping.start) continue;
    mapping.start = segment.address;
    mapping.limit = segment.address + segment.file_size;
    mapping.offset = segment.offset;
    mapping.path = path;
  }
  sonde::SymbolizerOptions options;
  options.max_index_bytes = max_index_bytes;
  sonde::Symbolizer symbolizer(options);
  const long peak_before = PeakKib();
  auto start = std::chrono::steady_clock::now();
  (void)symbolizer.Lookup(mapping, mapping.start + (mapping.limit - mapping.start) / 2);
  const double first_ms = MsSince(start);
  start = std::chrono::steady_clock::now();
  const uint64_t named = NameAll(&symbolizer, mapping);
  const double cold_ms = MsSince(start);
  start = std::chrono::steady_clock::now();
  NameAll(&symbolizer, mapping);
  struct stat status;
  stat(path.c_str(), &status);
  std::printf(
      "%s  %ld MB  limit %zu KiB: first %.1f ms, %lu lookups %.1f ms, again %.1f ms, named %lu, "
      "holds %zu KiB, peak RSS +%ld KiB\n",
      path.c_str(), static_cast<long>(status.st_size >> 20), max_index_bytes >> 10, first_ms,
      kLookups, cold_ms, MsSince(start), named, symbolizer.memory_bytes() >> 10,
      PeakKib() - peak_before);
  return named > 0 && symbolizer.memory_bytes() <= max_index_bytes + options.max_name_bytes;
}

}  // namespace

int main() {
  int tried = 0;
  int good = 0;
  for (const char* path : {"/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", "/usr/bin/node",
                           "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"}) {
    if (!sonde::OpenFile(path)) continue;
    for (const size_t limit : {size_t{256} << 10, size_t{4} << 20}) {
      ++tried;
      good += Run(path, limit) ? 1 : 0;
    }
  }
  std::printf("%d of %d within bounds\n", good, tried);
  return tried > 0 && good == tried ? 0 : 1;
}
