// SPDX-License-Identifier: Apache-2.0
#include "agent/life/foreign_filter.h"

#include <fcntl.h>
#include <string.h>

#include "agent/life/run_dir.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

bool HasFilter() {
  const long fd = sys::Call(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return false;
  char text[4096];
  const long size = sys::Call(SYS_read, fd, text, sizeof text - 1);
  sys::Call(SYS_close, fd);
  text[sys::Failed(size) ? 0 : size] = 0;
  const char* mode = strstr(text, "\nSeccomp:\t");
  return mode != nullptr && mode[10] == '2';
}

}  // namespace

bool UnderForeignFilter() { return HasFilter() && !InsideContainer(); }

}  // namespace sonde::life
