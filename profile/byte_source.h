// SPDX-License-Identifier: Apache-2.0
// Where an object file's bytes come from: a file, or the memory of a process (the vdso, a deleted
// file). Used by elf_file and build ids. Not thread-safe. Holds a descriptor or a callback, never
// the bytes.
//
// Files are read with pread and never mapped: a file that is truncated while mapped kills the
// reader with SIGBUS, and in the agent the reader is somebody else's service.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "profile/result.h"

namespace sonde {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Bytes got, fewer than `size` only at the end or after an error.
  [[nodiscard]] virtual size_t ReadAt(uint64_t offset, void* out, size_t size) const = 0;
  // One past the last byte that can exist.
  [[nodiscard]] virtual uint64_t size() const = 0;

  [[nodiscard]] bool ReadExact(uint64_t offset, void* out, size_t size) const;
};

// Copies `size` bytes at `address` of the process; false if any of them cannot be read.
using MemoryReader = std::function<bool(uint64_t address, void* out, size_t size)>;

// A regular file. Anything else (directory, device, pipe) is an error and is not waited for.
Result<std::unique_ptr<ByteSource>> OpenFile(const std::string& path);
// Takes the descriptor, closes it also on failure.
Result<std::unique_ptr<ByteSource>> AdoptFile(int fd, const std::string& path);
// Bytes that are at hand.
std::unique_ptr<ByteSource> OpenText(std::string bytes);
// [base, base + size) of a process, seen as a file that starts at base.
std::unique_ptr<ByteSource> OpenMemory(MemoryReader reader, uint64_t base, uint64_t size);

}  // namespace sonde
