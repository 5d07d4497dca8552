// SPDX-License-Identifier: Apache-2.0
// The memory of a process that was stopped for a moment: what was copied while it stood still, and
// for the rest (code, unwind tables, constant data) its memory as it is when asked. Memory of
// nobody's file, stacks and heap, is answered from the copies only: it moves on. Memory bound: see
// stop_process.h.
#pragma once

#include <map>
#include <string>

#include "cli/stacks/frozen_process.h"
#include "collectors/process_memory.h"

namespace sonde::cli {

class CopiedMemory final : public FrozenMemory {
 public:
  explicit CopiedMemory(int pid);

  // The used part of the stack that `sp` is on. False: there is no room for more copies.
  bool CopyStack(uint64_t sp);
  // What lies around a word: the lock that it belongs to.
  void CopyAround(uint64_t address);

  [[nodiscard]] bool Read(uint64_t address, void* out, size_t size) const override;

 private:
  struct Range {
    uint64_t limit = 0;
    bool is_copied_only = false;  // writable, and of no file
  };

  void ReadRanges(int pid);
  [[nodiscard]] const Range* RangeAt(uint64_t address) const;
  using Copies = std::map<uint64_t, std::string>;  // by start
  bool Copy(uint64_t from, uint64_t limit, Copies* to);
  static bool ReadFrom(const Copies& copies, uint64_t address, void* out, size_t size);

  const ProcessMemory live_;
  std::map<uint64_t, Range> ranges_;  // all mappings, by start, from before the stop
  Copies stacks_;
  Copies spots_;  // may lie inside of stacks
  size_t copied_bytes_ = 0;
};

}  // namespace sonde::cli
