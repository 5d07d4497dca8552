// SPDX-License-Identifier: Apache-2.0
#include "collectors/process_memory.h"

#include <fcntl.h>
#include <stdio.h>

#include <initializer_list>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

void OpenUnlessOpen(const char* path, long* fd) {
  if (*fd < 0) *fd = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

}  // namespace

ProcessMemory::~ProcessMemory() {
  for (const long fd :
       {memory_fd_, maps_fd_, static_cast<long>(pipe_fds_[0]), static_cast<long>(pipe_fds_[1])}) {
    if (fd >= 0) sys::Call(SYS_close, fd);
  }
}

ProcessMemory::ProcessMemory(int pid) {
  char path[32];
  snprintf(path, sizeof(path), "/proc/%d/mem", pid);
  OpenUnlessOpen(path, &memory_fd_);
  snprintf(path, sizeof(path), "/proc/%d/maps", pid);
  OpenUnlessOpen(path, &maps_fd_);
}

void ProcessMemory::Open() {
  OpenUnlessOpen("/proc/self/mem", &memory_fd_);
  OpenUnlessOpen("/proc/self/maps", &maps_fd_);
  if (memory_fd_ < 0 && pipe_fds_[0] < 0 &&
      sys::Failed(sys::Call(SYS_pipe2, pipe_fds_, O_CLOEXEC | O_NONBLOCK))) {
    pipe_fds_[0] = -1;
  }
}

void ProcessMemory::Reopen() {
  memory_fd_ = maps_fd_ = -1;
  pipe_fds_[0] = pipe_fds_[1] = -1;
  Open();
}

// An empty pipe takes a page at least, so a piece is never cut for want of room.
bool ProcessMemory::ReadThroughPipe(uint64_t address, char* out, size_t size) const {
  constexpr size_t kPiece = 4096;
  while (size > 0) {
    const size_t wanted = size < kPiece ? size : kPiece;
    const long written = sys::Call(SYS_write, pipe_fds_[1], address, wanted);
    if (sys::Failed(written) || written == 0) return false;
    if (sys::Call(SYS_read, pipe_fds_[0], out, written) != written) return false;
    address += static_cast<uint64_t>(written);
    out += written;
    size -= static_cast<size_t>(written);
  }
  return true;
}

bool ProcessMemory::Read(uint64_t address, void* out, size_t size) const {
  if (memory_fd_ < 0)
    return pipe_fds_[0] >= 0 && ReadThroughPipe(address, static_cast<char*>(out), size);
  return sys::Call(SYS_pread64, memory_fd_, out, size, address) == static_cast<long>(size);
}

long ProcessMemory::ReadMaps(uint64_t offset, char* out, size_t size) const {
  return sys::Call(SYS_pread64, maps_fd_, out, size, offset);
}

}  // namespace sonde
