// SPDX-License-Identifier: Apache-2.0
// A stack as it was read: pages of another thread's stack, fetched once each, so that a walk sees
// one state of it and costs a system call a page.
//
// Used by the walk from outside, on the agent thread; not thread-safe. Memory: kPages pages, made
// when first used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "collectors/process_memory.h"

namespace sonde {

class StackCopy {
 public:
  static constexpr size_t kPageSize = 4096;
  static constexpr size_t kPages = 64;

  explicit StackCopy(const ProcessMemory& memory) : memory_(memory) {}
  StackCopy(const StackCopy&) = delete;
  StackCopy& operator=(const StackCopy&) = delete;

  // Forgets what was read: the next thread, or the same one later.
  void Clear();

  // An aligned word. False: it cannot be read.
  [[nodiscard]] bool ReadWord(uint64_t address, uint64_t* value);

 private:
  enum class State : uint8_t { kEmpty, kRead, kUnreadable };
  struct Page {
    uint64_t address;
    State state;
    uint64_t words[kPageSize / sizeof(uint64_t)];
  };

  const ProcessMemory& memory_;
  std::unique_ptr<Page[]> pages_;
};

}  // namespace sonde
