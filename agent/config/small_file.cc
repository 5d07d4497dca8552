// SPDX-License-Identifier: Apache-2.0
#include "agent/config/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

struct ErrorName {
  long number;
  const char* text;
};
constexpr ErrorName kErrors[] = {
    {EPERM, "operation not permitted"},
    {ENOENT, "no such file or directory"},
    {EIO, "input/output error"},
    {ENXIO, "no such device or address"},
    {ENOMEM, "out of memory"},
    {EACCES, "permission denied"},
    {EEXIST, "file exists"},
    {ENOTDIR, "not a directory"},
    {EISDIR, "is a directory"},
    {ENFILE, "too many open files in the system"},
    {EMFILE, "too many open files"},
    {EFBIG, "file too large"},
    {EROFS, "read-only file system"},
    {ENAMETOOLONG, "file name too long"},
    {ELOOP, "too many levels of symbolic links"},
    {EAFNOSUPPORT, "address family not supported"},
    {EADDRINUSE, "address already in use"},
    {EADDRNOTAVAIL, "address not available on this machine"},
};

long ReadAll(int fd, size_t limit, std::string* out) {
  out->clear();
  char block[4096];
  for (;;) {
    const long got = sys::Call(SYS_read, fd, block, sizeof(block));
    if (got == -EINTR) continue;
    if (sys::Failed(got) || got == 0) return got;
    if (out->size() + static_cast<size_t>(got) > limit) return -EFBIG;
    out->append(block, static_cast<size_t>(got));
  }
}

}  // namespace

FileMark MarkOf(const char* path) {
  struct stat info = {};
  if (sys::Failed(sys::Call(SYS_newfstatat, AT_FDCWD, path, &info, 0))) return {};
  return {info.st_ino, info.st_size, info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec};
}

long ReadSmallFile(int dir_fd, const char* path, size_t limit, std::string* out) {
  const long fd = sys::Call(SYS_openat, dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (sys::Failed(fd)) return fd;
  long result = 0;
  try {
    result = ReadAll(static_cast<int>(fd), limit, out);
  } catch (...) {
    sys::Call(SYS_close, fd);
    throw;
  }
  sys::Call(SYS_close, fd);
  return result;
}

std::string ErrorText(long negated_errno) {
  // Not strerror: it is translated, so it takes locale locks of the host.
  for (const auto& [number, text] : kErrors) {
    if (number == -negated_errno) return text;
  }
  return "error " + std::to_string(-negated_errno);
}

}  // namespace sonde
