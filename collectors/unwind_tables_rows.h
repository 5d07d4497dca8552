// SPDX-License-Identifier: Apache-2.0
// Packs the ranges of one object's code into the rows that the walker reads (unwind_index.h).
// Used by unwind_tables.cc on the agent thread. Not thread-safe. Scratch memory grows to the
// largest object built and goes with the builder.
#pragma once

#include "collectors/eh_frame.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/unwind_tables_memory.h"

namespace sonde {

struct UnwindRowCounts {
  uint32_t functions = 0;
  uint32_t rows = 0;
  uint32_t wide_rules = 0;
  uint32_t without_rule = 0;       // ranges of functions that no row kind can express
  uint32_t skipped_functions = 0;  // of an unsupported kind, or outside the object's code
};

// The rows of one range of code, in one block.
struct UnwindBlock {
  TableMemory memory;
  size_t bytes = 0;    // of memory
  UnwindTable module;  // points into memory
  UnwindRowCounts counts;

  // The same table at `place`, `bytes` long and aligned to 8. Cold path only.
  UnwindTable CopyTo(void* place) const;
};

class UnwindRowBuilder {
 public:
  // Builds the rows for code in [low, high) out of `section`. False: no memory. Cold path only.
  [[nodiscard]] bool Build(const EhFrameSection& section, uint64_t low, uint64_t high,
                           UnwindBlock* out);

  // The same with functions that the caller finds: Begin, then Add for each in any order (they may
  // reach beyond the range), then Finish. False: no memory. Cold path only.
  void Begin(uint64_t low, uint64_t high);
  [[nodiscard]] bool Add(const EhFrameFde& fde);
  [[nodiscard]] bool Finish(EhFrameReader& reader, UnwindBlock* out);

 private:
  void AddRange(const UnwindRange& range);
  void AddGap(uint64_t begin, uint64_t end);
  void AddRow(uint64_t address, uint32_t value);
  uint32_t Encode(const UnwindRule& rule);
  uint32_t EncodeWide(const UnwindRule& rule);
  bool Pack(UnwindBlock* out);

  TableArray<EhFrameFde> functions_;
  TableArray<UnwindRow> rows_;
  TableArray<uint32_t> buckets_;
  TableArray<UnwindRule> rules_;
  uint64_t low_ = 0;
  uint64_t high_ = 0;
  uint64_t origin_ = 0;      // where the first bucket starts
  uint64_t covered_ = 0;     // rows say what there is to say up to here
  uint32_t last_value_ = 0;  // of the last row, without its place
  bool failed_ = false;
  UnwindRowCounts counts_;
};

}  // namespace sonde
