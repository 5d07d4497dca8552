// SPDX-License-Identifier: Apache-2.0
// Small files by raw system calls: libc's open is one of the functions that hooks may stand in
// front of. Agent thread; any thread may. Memory: the size of what is read, bounded by the caller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sonde {

// What changes when a file is edited or replaced; a ConfigMap's symlink swap changes the inode.
struct FileMark {
  uint64_t inode = 0;
  int64_t size = -1;  // -1: cannot be looked at
  int64_t mtime_ns = 0;
  bool operator==(const FileMark&) const = default;
};

FileMark MarkOf(const char* path);

// Reads the whole file, at most `limit` bytes, relative to directory `dir_fd` (AT_FDCWD: the
// working one). 0 or a negated errno; -EFBIG when it is longer.
[[nodiscard]] long ReadSmallFile(int dir_fd, const char* path, size_t limit, std::string* out);

// "No such file or directory" and the like, for the errors that reading a file gives; else "error
// N".
std::string ErrorText(long negated_errno);

}  // namespace sonde
