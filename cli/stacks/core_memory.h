// SPDX-License-Identifier: Apache-2.0
// The memory of a dead process: what its core file holds, and what the files that it had mapped
// hold of the rest, as far as they are still the same. Nothing in the core is trusted. Not
// thread-safe. Memory: one entry a mapping; bytes are read when asked for.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "cli/stacks/frozen_process.h"
#include "profile/byte_source.h"

namespace sonde::cli {

class CoreMemory final : public FrozenMemory {
 public:
  struct Segment {
    uint64_t limit = 0;
    uint64_t core_offset = 0;
    uint64_t core_bytes = 0;  // of it that the core holds, from its start
    bool executable = false;
    bool writable = false;
    std::string path;  // empty: of no file
    uint64_t file_offset = 0;
  };

  explicit CoreMemory(std::unique_ptr<ByteSource> core) : core_(std::move(core)) {}

  void Add(uint64_t start, Segment segment) { segments_[start] = std::move(segment); }
  [[nodiscard]] std::map<uint64_t, Segment>& segments() { return segments_; }
  [[nodiscard]] const ByteSource& core() const { return *core_; }

  // From now on this file stands in for what the core lacks of it.
  void Trust(const std::string& path, std::unique_ptr<ByteSource> file) {
    files_[path] = std::move(file);
  }

  [[nodiscard]] bool Read(uint64_t address, void* out, size_t size) const override;
  // Without the files.
  [[nodiscard]] bool ReadDumped(uint64_t address, void* out, size_t size) const;

 private:
  // As much as one segment gives; 0: nothing.
  size_t ReadSome(uint64_t address, char* out, size_t size, bool with_files) const;
  bool ReadAll(uint64_t address, void* out, size_t size, bool with_files) const;

  const std::unique_ptr<ByteSource> core_;
  std::map<uint64_t, Segment> segments_;  // by start
  std::map<std::string, std::unique_ptr<ByteSource>> files_;
};

}  // namespace sonde::cli
