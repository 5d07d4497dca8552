// SPDX-License-Identifier: Apache-2.0
// The CPU limit of the container, and what came of it: cgroup v2's cpu.max and cpu.stat, v1's
// cpu.cfs_* and cpu.stat. Agent thread only; holds at most two descriptors. Parsers are pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sonde {

struct CgroupCpu {
  double limit_cores = 0;  // 0: no limit
  uint64_t used_ns = 0;    // by everything in the cgroup
  uint64_t periods = 0;    // in which something ran
  uint64_t throttled_periods = 0;
  uint64_t throttled_ns = 0;
};

// "200000 100000" or "max 100000"; 0: no limit.
double ParseCpuMax(std::string_view text);
// "nr_periods 5\n…"; v1's has throttled_time in ns and no usage.
void ParseCpuStat(std::string_view text, CgroupCpu* out);

// Where the own cgroup's files are; empty: not to be found.
std::string CgroupCpuDirectory();

// A file that is read from its start again and again through one descriptor.
class RereadFile {
 public:
  explicit RereadFile(std::string path) : path_(std::move(path)) {}
  ~RereadFile() { Close(); }
  RereadFile(const RereadFile&) = delete;
  RereadFile& operator=(const RereadFile&) = delete;

  // Nothing: there is no such file. One that has gone is looked for again the next time.
  std::optional<std::string> Read();

 private:
  void Close();

  const std::string path_;
  int fd_ = -1;
};

// Reading costs two system calls; the limit, which an operator changes, is looked at every ten
// seconds.
class CgroupCpuReader {
 public:
  explicit CgroupCpuReader(std::string directory);

  [[nodiscard]] bool found() const { return !directory_.empty(); }
  // Nothing: the files cannot be read there.
  std::optional<CgroupCpu> Read(uint64_t now_ns);

 private:
  void ReadLimit();

  const std::string directory_;
  RereadFile stat_;
  RereadFile usage_;
  bool is_v1_ = false;  // what was used is in a file of its own
  double limit_cores_ = 0;
  uint64_t next_limit_ns_ = 0;
};

}  // namespace sonde
