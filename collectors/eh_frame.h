// SPDX-License-Identifier: Apache-2.0
// Reads .eh_frame (LSB Core, "Exception Frames"; DWARF 5, section 6.4) and turns each function's
// call frame program into ranges of pcs with the rule that is in force there.
//
// Called by unwind_tables.cc on the agent thread and by tests. Not thread-safe per object; no
// globals. Allocates nothing. The bytes may be hostile: every read is bounded, every unsupported
// thing becomes a rule of CfaKind::kNone, and no input makes it run longer than linear in its size.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "collectors/safe/unwind_index.h"

namespace sonde {

// A copy of a section, and where the original lies: encoded pointers are relative to that.
struct EhFrameSection {
  const uint8_t* data = nullptr;
  size_t size = 0;
  uint64_t address = 0;
};

// A stretch of code with one rule.
struct UnwindRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  UnwindRule rule;
};

// A common information entry: what the functions of one compilation share.
struct EhFrameCie {
  bool supported = false;
  bool has_augmentation = false;
  bool signal_frame = false;
  uint8_t pointer_encoding = 0;
  uint64_t code_align = 1;
  int64_t data_align = 1;
  size_t program_begin = 0;  // offsets in the section
  size_t program_end = 0;
};

// A frame description entry: one function, or a piece of one.
struct EhFrameFde {
  uint64_t begin = 0;  // pcs
  uint64_t end = 0;
  uint32_t cie = 0;  // offsets in the section
  uint32_t program_begin = 0;
  uint32_t program_end = 0;
};

class EhFrameReader {
 public:
  // Sections of 4 GiB and more are read up to there. Cold path only.
  explicit EhFrameReader(const EhFrameSection& section);

  // The next FDE that covers any code. False: the end, or bytes that make no sense.
  // Cold path only.
  [[nodiscard]] bool Next(EhFrameFde* fde);

  // The FDE at `offset` of the section. False: none that covers any code. Cold path only.
  [[nodiscard]] bool ReadAt(uint32_t offset, EhFrameFde* fde);

  // FDEs skipped because their CIE is of an unsupported kind.
  size_t skipped() const { return skipped_; }

  // Calls sink(const UnwindRange&) for each range of `fde`, in ascending order and without gaps
  // from its begin to its end. A program that cannot be followed ends in a range without rule.
  // Cold path only.
  template <typename Sink>
  void Run(const EhFrameFde& fde, Sink&& sink) {
    using Plain = __typeof__(*&sink);
    RunProgram(
        fde, [](void* to, const UnwindRange& range) { (*static_cast<Plain*>(to))(range); }, &sink);
  }

 private:
  using RangeFunction = void (*)(void* to, const UnwindRange& range);
  void RunProgram(const EhFrameFde& fde, RangeFunction function, void* to);
  const EhFrameCie& CieAt(uint32_t offset);
  enum class Record : uint8_t { kFde, kOther, kEnd };
  Record ParseRecord(EhFrameFde* fde);
  bool ParseFde(size_t id_offset, size_t end, uint32_t cie_offset, EhFrameFde* fde);

  EhFrameSection section_;
  size_t next_ = 0;
  size_t skipped_ = 0;
  uint32_t cached_cie_offset_ = UINT32_MAX;
  EhFrameCie cached_cie_;
};

}  // namespace sonde
