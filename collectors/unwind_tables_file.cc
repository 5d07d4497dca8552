// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr size_t kPageSize = 4096;

// Not even opened unless it is a plain file: an open may wait, or do something.
long OpenPlainFile(const char* path) {
  struct stat status {};
  if (sys::Failed(sys::Call(SYS_newfstatat, AT_FDCWD, path, &status, 0L))) return -1;
  if (!S_ISREG(status.st_mode)) return -1;
  return sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

}  // namespace

EhFrameFile::EhFrameFile(const ProcessMemory& memory, const LoadedObject& object)
    : object_(object) {
  if (object.eh_frame_in_file == 0 || !object.name.starts_with('/')) return;
  fd_ = OpenPlainFile(object.name.c_str());
  if (fd_ < 0 || IsTheMappedOne(memory)) return;
  sys::Call(SYS_close, fd_);
  fd_ = -1;
}

EhFrameFile::~EhFrameFile() {
  if (fd_ >= 0) sys::Call(SYS_close, fd_);
}

bool EhFrameFile::IsTheMappedOne(const ProcessMemory& memory) const {
  uint8_t here[kPageSize], there[kPageSize];
  if (sys::Call(SYS_pread64, fd_, here, kFingerprintBytes, 0L) != long{kFingerprintBytes}) {
    return false;
  }
  if (FingerprintOfBytes(here) != object_.fingerprint) return false;
  const size_t size =
      std::min(object_.eh_frame_limit - object_.eh_frame, kPageSize - object_.eh_frame % kPageSize);
  return Read(object_.eh_frame, here, size) && memory.Read(object_.eh_frame, there, size) &&
         memcmp(here, there, size) == 0;
}

bool EhFrameFile::Read(uint64_t address, void* out, size_t size) const {
  const bool inside = address >= object_.eh_frame && address <= object_.eh_frame_limit &&
                      size <= object_.eh_frame_limit - address;
  if (!inside) return false;
  const uint64_t offset = object_.eh_frame_in_file + (address - object_.eh_frame);
  return sys::Call(SYS_pread64, fd_, out, size, offset) == static_cast<long>(size);
}

}  // namespace sonde
