// SPDX-License-Identifier: Apache-2.0
#include "collectors/process_memory.h"

#include <fcntl.h>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

void OpenUnlessOpen(const char* path, long* fd) {
  if (*fd < 0) *fd = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

}  // namespace

ProcessMemory::~ProcessMemory() {
  if (memory_is_open()) sys::Call(SYS_close, memory_fd_);
  if (maps_is_open()) sys::Call(SYS_close, maps_fd_);
}

void ProcessMemory::Open() {
  OpenUnlessOpen("/proc/self/mem", &memory_fd_);
  OpenUnlessOpen("/proc/self/maps", &maps_fd_);
}

bool ProcessMemory::Read(uint64_t address, void* out, size_t size) const {
  if (!memory_is_open()) return false;
  return sys::Call(SYS_pread64, memory_fd_, out, size, address) == static_cast<long>(size);
}

long ProcessMemory::ReadMaps(uint64_t offset, char* out, size_t size) const {
  return sys::Call(SYS_pread64, maps_fd_, out, size, offset);
}

}  // namespace sonde
