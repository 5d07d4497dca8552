// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/process_reader.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>

#include "agent/config/small_file.h"
#include "agent/http/query.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

// The kernel's USER_HZ and page size of x86-64, fixed by its ABI.
constexpr double kTicksPerSecond = 100;
constexpr double kPageBytes = 4096;

double SecondsOf(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::optional<uint64_t> SoftLimit(int resource) {
  rlimit64 limit = {};
  const long result = sys::Call(SYS_prlimit64, 0, resource, 0L, &limit);
  if (sys::Failed(result)) return std::nullopt;
  return limit.rlim_cur;
}

// Field `number` of a stat line counted as in proc(5), `rest` beginning with field 3.
double Field(std::string_view rest, int number) {
  for (int skipped = 3; skipped < number; ++skipped) {
    rest.remove_prefix(std::min(rest.find(' ') + 1, rest.size()));
  }
  const auto value = http::ParseInteger(rest.substr(0, rest.find_first_of(" \n")));
  return static_cast<double>(value.value_or(0));
}

size_t CountNames(const char* entries, long size) {
  size_t count = 0;
  for (long at = 0; at < size;) {
    const char* entry = entries + at;
    count += entry[19] != '.';  // d_name of linux_dirent64; descriptors have digits only
    at += *reinterpret_cast<const uint16_t*>(entry + 16);
  }
  return count;
}

}  // namespace

ProcessReader::ProcessReader()
    : proc_fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

ProcessReader::~ProcessReader() {
  if (!sys::Failed(proc_fd_)) sys::Call(SYS_close, proc_fd_);
}

std::optional<ProcessNumbers> ProcessReader::ParseStat(std::string_view text,
                                                       double boot_unix_seconds) {
  const size_t after_name = text.rfind(") ");  // the name may hold anything, blanks too
  if (after_name == text.npos) return std::nullopt;
  const std::string_view rest = text.substr(after_name + 2);
  ProcessNumbers numbers;
  numbers.cpu_seconds = (Field(rest, 14) + Field(rest, 15)) / kTicksPerSecond;
  numbers.start_time_unix_seconds = boot_unix_seconds + Field(rest, 22) / kTicksPerSecond;
  numbers.virtual_bytes = Field(rest, 23);
  numbers.resident_bytes = Field(rest, 24) * kPageBytes;
  return numbers;
}

std::optional<ProcessNumbers> ProcessReader::Read() const {
  std::string text;
  if (sys::Failed(proc_fd_)) return std::nullopt;
  if (ReadSmallFile(static_cast<int>(proc_fd_), "stat", 4096, &text) != 0) return std::nullopt;
  return ParseStat(text, SecondsOf(CLOCK_REALTIME) - SecondsOf(CLOCK_BOOTTIME));
}

std::optional<uint64_t> ProcessReader::OpenFds() const {
  if (sys::Failed(proc_fd_)) return std::nullopt;
  struct stat info = {};
  const long stated = sys::Call(SYS_newfstatat, proc_fd_, "fd", &info, 0);
  if (sys::Failed(stated)) return std::nullopt;
  if (info.st_size > 0) return static_cast<uint64_t>(info.st_size);  // since Linux 6.2
  const long fd = sys::Call(SYS_openat, proc_fd_, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (sys::Failed(fd)) return std::nullopt;
  const auto count = CountFdEntries(fd);
  sys::Call(SYS_close, fd);
  return count;
}

std::optional<uint64_t> ProcessReader::CountFdEntries(long fd) const {
  alignas(8) char entries[8 << 10];
  uint64_t count = 0;
  for (;;) {
    const long size = sys::Call(SYS_getdents64, fd, entries, sizeof(entries));
    if (sys::Failed(size)) return std::nullopt;
    if (size == 0) return count;
    count += CountNames(entries, size);
  }
}

std::optional<uint64_t> ProcessReader::MaxFds() const { return SoftLimit(RLIMIT_NOFILE); }
std::optional<uint64_t> ProcessReader::MaxVirtualBytes() const { return SoftLimit(RLIMIT_AS); }

}  // namespace sonde
