// SPDX-License-Identifier: Apache-2.0
// Walks stacks of another process, or of a dead one, by libunwind: its remote engine over accessors
// of our own, so that a process need not stay stopped while it is walked, and a damaged core file
// meets bounded reads only. (libunwind's own accessors for ptrace and for cores read word by word
// from the stopped process, and trust the core.) Not thread-safe. Memory: kMaxPages pages, and what
// libunwind keeps of unwind rules.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "cli/stacks/frozen_process.h"
#include "collectors/safe/unwind.h"

namespace sonde::cli {

class RemoteUnwinder {
 public:
  static constexpr uint32_t kMaxFrames = 1024;

  // The process outlives it.
  explicit RemoteUnwinder(const FrozenProcess& process);
  ~RemoteUnwinder();
  RemoteUnwinder(const RemoteUnwinder&) = delete;
  RemoteUnwinder& operator=(const RemoteUnwinder&) = delete;

  struct Stack {
    std::vector<uint64_t> frames;  // frames[0] is a pc, the others are return addresses
    StackEnd end = StackEnd::kNoUnwindData;
  };
  Stack Walk(const Registers& registers);

  // Where the search table of a loaded object is. All zero: it has none.
  struct Table {
    uint64_t header = 0;  // address of .eh_frame_hdr
    uint64_t entries = 0;
    uint64_t count = 0;
  };

 private:
  friend struct UnwindAccess;
  static constexpr size_t kPageSize = 4096;
  static constexpr size_t kMaxPages = 16384;
  struct Page {
    bool readable = false;
    uint8_t bytes[kPageSize];
  };

  bool ReadWord(uint64_t address, uint64_t* value);
  const Page& PageAt(uint64_t address);
  [[nodiscard]] const Mapping* MappingAt(uint64_t address) const;
  const Table& TableOf(const Mapping& mapping);

  const FrozenProcess& process_;
  std::vector<Mapping> mappings_;     // by address
  std::map<uint64_t, Table> tables_;  // by the image's start
  std::unordered_map<uint64_t, Page> pages_;
  void* space_ = nullptr;  // unw_addr_space_t
  const Registers* registers_ = nullptr;
  uint64_t unknown_pc_ = 0;  // the last that no table knew
};

}  // namespace sonde::cli
