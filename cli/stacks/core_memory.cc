// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/core_memory.h"

#include <algorithm>

namespace sonde::cli {

size_t CoreMemory::ReadSome(uint64_t address, char* out, size_t size, bool with_files) const {
  const auto after = segments_.upper_bound(address);
  if (after == segments_.begin()) return 0;
  const auto& [start, segment] = *std::prev(after);
  if (address >= segment.limit) return 0;
  const uint64_t into = address - start;
  size = std::min<uint64_t>(size, segment.limit - address);
  if (into < segment.core_bytes) {
    const size_t dumped = std::min<uint64_t>(size, segment.core_bytes - into);
    return core_->ReadAt(segment.core_offset + into, out, dumped);
  }
  const auto file = files_.find(segment.path);
  if (!with_files || file == files_.end()) return 0;
  return file->second->ReadAt(segment.file_offset + into, out, size);
}

bool CoreMemory::ReadAll(uint64_t address, void* out, size_t size, bool with_files) const {
  auto* to = static_cast<char*>(out);
  while (size > 0) {
    const size_t got = ReadSome(address, to, size, with_files);
    if (got == 0) return false;
    to += got;
    size -= got;
    address += got;
  }
  return true;
}

bool CoreMemory::Read(uint64_t address, void* out, size_t size) const {
  return ReadAll(address, out, size, true);
}

bool CoreMemory::ReadDumped(uint64_t address, void* out, size_t size) const {
  return ReadAll(address, out, size, false);
}

}  // namespace sonde::cli
