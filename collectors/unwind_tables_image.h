// SPDX-License-Identifier: Apache-2.0
// One ELF image as it lies in memory, read through its own headers. Used by
// unwind_tables_objects.cc on the agent thread. The headers may be hostile or half overwritten:
// every field is checked, and every read may fail. At most kMaxProgramHeaders of them on the stack.
#pragma once

#include <link.h>
#include <stdint.h>

#include "collectors/process_memory.h"
#include "collectors/unwind_tables_hash.h"
#include "collectors/unwind_tables_objects.h"

namespace sonde {

class ElfImage {
 public:
  explicit ElfImage(const ProcessMemory& memory) : memory_(memory) {}

  // Reads the headers at `address`. False: no ELF image of this machine. Cold path only.
  [[nodiscard]] bool Read(uint64_t address);

  // Fills in everything but the name. `hash` gets what tells the image from others. Cold path only.
  void Describe(LoadedObject* object, WordHash* hash) const;

 private:
  static constexpr int kMaxProgramHeaders = 64;

  bool FindBase();
  const ElfW(Phdr) * SegmentOf(uint64_t address) const;
  uint64_t SegmentEnd(uint64_t address) const;
  void FindEhFrame(uint64_t header, LoadedObject* object) const;
  void AddText(uint64_t begin, uint64_t end, LoadedObject* object) const;
  void AddNote(uint64_t begin, uint64_t size, LoadedObject* object, WordHash* hash) const;

  const ProcessMemory& memory_;
  uint64_t address_ = 0;
  uint64_t base_ = 0;
  int count_ = 0;
  ElfW(Phdr) headers_[kMaxProgramHeaders];
};

}  // namespace sonde
