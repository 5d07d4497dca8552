// SPDX-License-Identifier: Apache-2.0
#include "agent/life/small_reads.h"

#include <fcntl.h>

#include <cstdint>
#include <string_view>

#include "collectors/safe/sys.h"

namespace sonde::life {

std::string ReadSmallFile(const std::string& path) {
  std::string text;
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return text;
  char buffer[8192];
  for (;;) {
    const long size = sys::Call(SYS_read, fd, buffer, sizeof buffer);
    if (sys::Failed(size) || size == 0) break;
    text.append(buffer, static_cast<size_t>(size));
  }
  sys::Call(SYS_close, fd);
  return text;
}

std::string ReadLink(const char* path) {
  char target[1024];
  const long size = sys::Call(SYS_readlinkat, AT_FDCWD, path, target, sizeof target);
  return sys::Failed(size) ? std::string() : std::string(target, static_cast<size_t>(size));
}

std::vector<std::string> ListDirectory(int fd) {
  struct Entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[1];
  };
  std::vector<std::string> names;
  alignas(Entry) char buffer[8192];
  for (;;) {
    const long size = sys::Call(SYS_getdents64, fd, buffer, sizeof buffer);
    if (sys::Failed(size) || size == 0) return names;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->bytes;
      const std::string_view name = entry->name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
  }
}

}  // namespace sonde::life
