// SPDX-License-Identifier: Apache-2.0
// The beginning of a file of /proc, into a buffer on the stack, by raw system calls. Malloc-safe;
// any thread.
#pragma once

#include <fcntl.h>
#include <stddef.h>

#include "collectors/safe/sys.h"

namespace sonde::life {

// Length of the text, which ends with a NUL; 0 when it cannot be read. Reads once: enough for the
// small ones.
inline size_t ReadProcText(const char* path, char* out, size_t size) {
  out[0] = 0;
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return 0;
  const long got = sys::Call(SYS_read, fd, out, size - 1);
  sys::Call(SYS_close, fd);
  const size_t length = sys::Failed(got) ? 0 : static_cast<size_t>(got);
  out[length] = 0;
  return length;
}

}  // namespace sonde::life
