// SPDX-License-Identifier: Apache-2.0
#include "collectors/cgroup_cpu.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kLimitNs = 10'000'000'000;

// Nothing: there is no such file.
std::optional<std::string> ReadText(std::string path) { return RereadFile(std::move(path)).Read(); }

int64_t Number(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Whether `wanted` is one of the names, which commas separate; "" is in "".
bool Lists(std::string_view names, std::string_view wanted) {
  while (true) {
    const size_t comma = names.find(',');
    if (names.substr(0, comma) == wanted) return true;
    if (comma == names.npos) return false;
    names.remove_prefix(comma + 1);
  }
}

// The path of the line that names the controller; lines are "4:cpu,cpuacct:/path".
std::string PathOf(std::string_view lines, std::string_view controller) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(line.size() + 1, lines.size()));
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    if (Lists(line.substr(first + 1, second - first - 1), controller)) {
      return std::string(line.substr(second + 1));
    }
  }
  return "";
}

bool Exists(const std::string& path) { return ReadText(path).has_value(); }

}  // namespace

double ParseCpuMax(std::string_view text) {
  const size_t blank = std::min(text.find(' '), text.size());
  const int64_t quota = Number(text.substr(0, blank));
  const int64_t period = Number(text.substr(std::min(blank + 1, text.size())));
  return quota > 0 && period > 0 ? static_cast<double>(quota) / static_cast<double>(period) : 0;
}

void ParseCpuStat(std::string_view text, CgroupCpu* out) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string_view name = line.substr(0, blank);
    const auto value = static_cast<uint64_t>(
        std::max<int64_t>(0, Number(line.substr(std::min(blank + 1, line.size())))));
    if (name == "usage_usec") out->used_ns = value * 1000;
    if (name == "nr_periods") out->periods = value;
    if (name == "nr_throttled") out->throttled_periods = value;
    if (name == "throttled_usec") out->throttled_ns = value * 1000;
    if (name == "throttled_time") out->throttled_ns = value;
  }
}

// Inside a container the own cgroup is the root of what is mounted, whatever its path says.
std::string CgroupCpuDirectory() {
  const std::string lines = ReadText("/proc/self/cgroup").value_or("");
  const std::string v2 = PathOf(lines, "");
  const std::string v1 = PathOf(lines, "cpu");
  for (const std::string& directory :
       {"/sys/fs/cgroup" + v2, std::string("/sys/fs/cgroup"), "/sys/fs/cgroup/cpu" + v1,
        std::string("/sys/fs/cgroup/cpu"), "/sys/fs/cgroup/cpu,cpuacct" + v1}) {
    if (Exists(directory + "/cpu.max") || Exists(directory + "/cpu.cfs_quota_us")) return directory;
  }
  return "";
}

std::optional<std::string> RereadFile::Read() {
  if (fd_ < 0) {
    const long fd = sys::Call(SYS_openat, AT_FDCWD, path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (sys::Failed(fd)) return std::nullopt;
    fd_ = static_cast<int>(fd);
  }
  char text[4096];
  const long size = sys::Call(SYS_pread64, fd_, text, sizeof(text), 0L);
  if (!sys::Failed(size)) return std::string(text, static_cast<size_t>(size));
  Close();
  return std::nullopt;
}

void RereadFile::Close() {
  if (fd_ >= 0) sys::Call(SYS_close, fd_);
  fd_ = -1;
}

CgroupCpuReader::CgroupCpuReader(std::string directory)
    : directory_(std::move(directory)),
      stat_(directory_ + "/cpu.stat"),
      usage_(directory_ + "/cpuacct.usage") {}

std::optional<CgroupCpu> CgroupCpuReader::Read(uint64_t now_ns) {
  if (!found()) return std::nullopt;
  const auto stat = stat_.Read();
  if (!stat) return std::nullopt;
  if (now_ns >= next_limit_ns_) {
    next_limit_ns_ = now_ns + kLimitNs;
    ReadLimit();
  }
  CgroupCpu cpu;
  ParseCpuStat(*stat, &cpu);
  cpu.limit_cores = limit_cores_;
  if (!is_v1_) return cpu;
  if (const auto used = usage_.Read()) {
    cpu.used_ns = static_cast<uint64_t>(std::max<int64_t>(0, Number(*used)));
  }
  return cpu;
}

void CgroupCpuReader::ReadLimit() {
  limit_cores_ = 0;
  is_v1_ = false;
  if (const auto max = ReadText(directory_ + "/cpu.max")) {
    limit_cores_ = ParseCpuMax(*max);
    return;
  }
  is_v1_ = true;
  const auto quota = ReadText(directory_ + "/cpu.cfs_quota_us");
  const auto period = ReadText(directory_ + "/cpu.cfs_period_us");
  if (quota && period) {
    limit_cores_ = ParseCpuMax(quota->substr(0, quota->find('\n')) + " " + *period);
  }
}

}  // namespace sonde
