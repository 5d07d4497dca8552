// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/own_memory.h"

#include <fcntl.h>

#include <memory>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

class MemoryFile {
 public:
  MemoryFile() : fd_(sys::Call(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC)) {}
  ~MemoryFile() {
    if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  bool Read(uint64_t address, void* out, size_t size) const {
    if (sys::Failed(fd_)) return false;
    return sys::Call(SYS_pread64, fd_, out, size, address) == static_cast<long>(size);
  }

 private:
  const long fd_;
};

}  // namespace

MemoryReader OwnMemoryReader() {
  return [file = std::make_shared<MemoryFile>()](uint64_t address, void* out, size_t size) {
    return file->Read(address, out, size);
  };
}

}  // namespace sonde
