// SPDX-License-Identifier: Apache-2.0
// The loaded objects in the loader's order, and the exported symbols of each, read through reads
// that cannot fault: another thread may be inside dlclose, and agent/runtime/resolve.h, which reads
// in place, is for the moment of loading. No lock, no loader call. Agent thread only. Memory: 100
// bytes an object, at most kMaxObjects.
#pragma once

#include <elf.h>
#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/process_memory.h"

namespace sonde {

struct LinkedObject {
  std::string name;  // as the loader has it; empty for the program itself
  uint64_t bias = 0;
  bool is_ours = false;
  // Tables of the dynamic section; 0: none.
  uint64_t symbols = 0;
  uint64_t strings = 0;
  uint64_t hash = 0;  // DT_GNU_HASH
};

class LinkedObjects {
 public:
  static constexpr int kMaxObjects = 2048;

  // Throws std::bad_alloc. Cold path only.
  explicit LinkedObjects(const ProcessMemory& memory);

  [[nodiscard]] const std::vector<LinkedObject>& objects() const { return objects_; }

  // The object that the loader has under that name; empty: the program. Null: none. Cold path only.
  [[nodiscard]] const LinkedObject* Named(std::string_view name) const;

  struct Symbol {
    uint64_t address = 0;
    uint64_t size = 0;
    int type = 0;  // STT_FUNC and the like
  };
  // What the object defines under that name; nothing when it does not, or has no DT_GNU_HASH. Cold
  // path only.
  [[nodiscard]] std::optional<Symbol> FindSymbol(const LinkedObject& object,
                                                 std::string_view name) const;
  [[nodiscard]] std::optional<uint64_t> Find(const LinkedObject& object,
                                             std::string_view name) const;

  enum class Part {
    kCode,       // may be executed
    kConstants,  // cannot be written to any more: read-only from the start, or once relocated
  };
  // True if all of it lies in one such part of the object, by its program headers. Cold path only.
  [[nodiscard]] bool Holds(const LinkedObject& object, Part part, uint64_t address,
                           uint64_t size) const;

  struct Range {
    uint64_t low = 0;
    uint64_t high = 0;
  };
  // The executable segment that holds the address, by the headers of its object; empty when none
  // does. Cold path only.
  [[nodiscard]] Range CodeAround(uint64_t address) const;

 private:
  [[nodiscard]] std::vector<Elf64_Phdr> SegmentsOf(const LinkedObject& object) const;
  [[nodiscard]] Range SegmentOf(const LinkedObject& object, uint64_t address) const;
  void ReadDynamic(uint64_t dynamic, LinkedObject* object) const;
  [[nodiscard]] size_t ReadPiece(uint64_t address, void* out, size_t size) const;
  [[nodiscard]] std::string ReadText(uint64_t address) const;
  [[nodiscard]] bool NameIs(uint64_t address, std::string_view name) const;

  const ProcessMemory& memory_;
  std::vector<LinkedObject> objects_;
};

}  // namespace sonde
