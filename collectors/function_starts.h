// SPDX-License-Identifier: Apache-2.0
// Where the function that holds a pc begins, by the sorted table that linkers put into
// .eh_frame_hdr: it is there in stripped programs, too.
//
// Used by the walk from outside, on the agent thread; not thread-safe. The table stays where it is,
// in the process that is looked at, and is read through its memory file: about a dozen small reads
// for a pc that is asked for the first time. Memory: one entry for each such pc, at most
// kMaxCached.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "collectors/process_memory.h"

namespace sonde {

// Executable code of an object, and where its ELF header is.
struct CodeOfImage {
  uint64_t low = 0;
  uint64_t high = 0;
  uint64_t image = 0;
};

class FunctionStarts {
 public:
  static constexpr size_t kMaxCached = 16384;

  explicit FunctionStarts(const ProcessMemory& memory) : memory_(memory) {}

  // What is loaded now. What was found in other objects is forgotten.
  void SetCode(std::vector<CodeOfImage> code);

  // 0: not known.
  uint64_t StartOf(uint64_t pc);

 private:
  struct Table {
    bool looked_for = false;
    uint64_t header = 0;   // .eh_frame_hdr; 0: none that can be searched
    uint64_t entries = 0;  // address of the first
    uint32_t count = 0;
  };
  struct Object {
    CodeOfImage code;
    Table table;
  };

  Object* Find(uint64_t pc);
  void LookForTable(Object* object) const;
  bool ReadTableHeader(uint64_t address, Table* table) const;
  uint64_t Search(const Object& object, uint64_t pc) const;

  const ProcessMemory& memory_;
  std::vector<Object> objects_;  // by address
  std::unordered_map<uint64_t, uint64_t> known_;
};

}  // namespace sonde
