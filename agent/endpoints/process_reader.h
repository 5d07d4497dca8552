// SPDX-License-Identifier: Apache-2.0
// The numbers of Prometheus' process_* metrics, from a /proc directory that is opened once: it
// stays readable after the service has changed its root or its mounts. Agent thread only; one
// descriptor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sonde {

struct ProcessNumbers {
  double cpu_seconds = 0;
  double start_time_unix_seconds = 0;
  double virtual_bytes = 0;
  double resident_bytes = 0;
};

class ProcessReader {
 public:
  ProcessReader();  // of this process
  ~ProcessReader();
  ProcessReader(const ProcessReader&) = delete;
  ProcessReader& operator=(const ProcessReader&) = delete;

  std::optional<ProcessNumbers> Read() const;
  // Nothing where the kernel does not say.
  std::optional<uint64_t> OpenFds() const;
  std::optional<uint64_t> MaxFds() const;           // the soft limit
  std::optional<uint64_t> MaxVirtualBytes() const;  // UINT64_MAX: no limit

  // The text of a "stat" file.
  static std::optional<ProcessNumbers> ParseStat(std::string_view text, double boot_unix_seconds);

 private:
  std::optional<uint64_t> CountFdEntries(long fd) const;
  const long proc_fd_;
};

}  // namespace sonde
