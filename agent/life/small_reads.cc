// SPDX-License-Identifier: Apache-2.0
#include "agent/life/small_reads.h"

#include <fcntl.h>

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

}  // namespace sonde::life
