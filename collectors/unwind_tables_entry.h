// SPDX-License-Identifier: Apache-2.0
// One loaded object and its unwind table: a whole one, or one made of chunks that are built when a
// walk has missed them. Owned by unwind_tables.cc, on the agent thread; not thread-safe. Tables lie
// in the arena. Memory here: some 60 bytes for each chunk that was asked for.
//
// Whole or in chunks of 64 KiB, as bench_unwind_tables measured it (Debian 12, CPU of one thread):
//                  text   functions     rows   whole             one chunk, median
//   libc 2.36     1.3 MiB     3,713   25,091   0.12 MiB   1.2 ms   5.5 KiB  0.08 ms
//   libcrypto 3   2.5 MiB    10,911   74,124   0.32 MiB   3.1 ms   8.3 KiB  0.11 ms
//   postgres 15   5.2 MiB    17,108   67,464   0.34 MiB   4.4 ms   4.1 KiB  0.07 ms
//   libjvm 17      13 MiB    43,666  150,840   0.78 MiB    11 ms   3.6 KiB  0.07 ms
//   node 18        27 MiB    75,922  321,070   1.64 MiB    21 ms   4.2 KiB  0.07 ms
//   libLLVM-14     97 MiB    94,994  865,117   4.82 MiB    38 ms   2.8 KiB  0.04 ms
//   chromium      225 MiB     8,852   55,816   3.73 MiB     8 ms   1.0 KiB  0.03 ms
// Small objects are whole: their first samples are complete, and nothing has to be asked for. Big
// ones, and whatever exceeds the share of the budget that whole tables may have, go in chunks: node
// in a loop of JSON touches 60 to 70 of its 420. Chunks of 16 KiB take 0.05 ms, mostly to find
// their functions, and four times as many ranges in the index; of 256 KiB, 0.2 ms and most of it
// for code that nobody runs.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <utility>
#include <vector>

#include "collectors/process_memory.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/safe/unwind_publication.h"
#include "collectors/unwind_tables_arena.h"
#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"
#include "collectors/unwind_tables_section.h"

namespace sonde {

// An object with more functions is never built whole. Most stacks go through the program, while of
// a large library a few chunks are walked through: redis-server's table of libcrypto took 350 KiB.
inline constexpr uint32_t kMaxFunctionsOfWhole = 20'000;
inline constexpr uint32_t kMaxFunctionsOfLibrary = 8'000;
inline constexpr uint64_t kMaxTextOfWhole = uint64_t{32} << 20;
inline constexpr uint64_t kUnwindChunkBytes = uint64_t{1} << kUnwindChunkShift;

enum class UnwindCoverage : uint8_t {
  kCovered,
  kOnDemand,      // in chunks, those that walks come to
  kNoUnwindData,  // no .eh_frame, or one without any function
  kUnreadable,    // .eh_frame is not where the object says
  kOverBudget,    // its table would not fit, and it cannot be built in chunks
};

// Scratch that one pass over objects needs, and what pieces come from.
struct UnwindBuildTools {
  const ProcessMemory& memory;
  TableArena& arena;
  size_t whole_bytes_left = 0;  // for tables of whole objects
  size_t chunks_left = 0;       // how many more there may be
  size_t reserve = 0;           // what chunks leave free in the arena, for indexes
  UnwindRowBuilder builder{};
  TableMemory section_memory{};
  UnwindBlock block{};  // the chunk that was built last, also when there was no room for it
};

class UnwindEntry {
 public:
  explicit UnwindEntry(LoadedObject object) : object_(std::move(object)) {}

  struct Chunk {
    ArenaPiece piece;  // null: no function has any code there
    UnwindTable table;
    uint64_t last_used = 0;  // UnwindTables' clock
  };

  enum class Outcome : uint8_t { kBuilt, kThere, kNotHere, kNoRoom, kFailed };

  // Decides between whole and chunks, and builds what is built at once. Throws std::bad_alloc. Cold
  // path only.
  void Build(UnwindBuildTools& tools);

  // Builds the chunk that `pc` is in. Throws std::bad_alloc. Cold path only.
  Outcome BuildChunk(uint64_t pc, uint64_t now, const ProcessMemory& memory,
                     UnwindBuildTools* tools);

  // Appends this object's ranges of code, ascending. Cold path only.
  void AppendRanges(std::vector<UnwindModule>* ranges) const;

  // Calls sink(ArenaPiece) for all that a walker may be reading. Cold path only.
  template <typename Sink>
  void ForEachPiece(Sink&& sink) const {
    if (piece_.data != nullptr) sink(piece_);
    for (const auto& [number, chunk] : chunks_) {
      if (chunk.piece.data != nullptr) sink(chunk.piece);
    }
  }

  const LoadedObject& object() const { return object_; }
  UnwindCoverage coverage() const { return coverage_; }
  const UnwindRowCounts& counts() const { return counts_; }
  size_t needed_bytes() const { return needed_bytes_; }
  size_t bytes() const;
  size_t whole_bytes() const { return piece_.size; }
  std::map<uint64_t, Chunk>& chunks() { return chunks_; }
  const std::map<uint64_t, Chunk>& chunks() const { return chunks_; }

 private:
  bool CanBeInChunks() const;
  void BuildWhole(UnwindBuildTools& tools);

  LoadedObject object_;
  UnwindCoverage coverage_ = UnwindCoverage::kNoUnwindData;
  UnwindTable whole_;
  ArenaPiece piece_;
  UnwindRowCounts counts_;
  size_t needed_bytes_ = 0;           // of a table that did not fit
  std::map<uint64_t, Chunk> chunks_;  // by address >> kUnwindChunkShift
};

}  // namespace sonde
