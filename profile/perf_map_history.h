// SPDX-License-Identifier: Apache-2.0
// How a perf map grew while a process was recorded: what tells, of a time in the past, which of its
// lines there were (perf_map.h). Fed by the agent where a step of the recording ends. Not
// thread-safe. Memory: 24 bytes a step in which the map grew, at most kMaxSizes; of the file only
// the last kTailBytes are read.
//
//   map     ├── step 1 ──┼───── step 2 ─────┼─ step 3 ─┤       A sample of step 2 has the name that
//   bytes   0            ▲ sizes_[0]        ▲ sizes_[1]        its address had at sizes_[0], unless
//                                                              a line of step 2 gives it another.
//
// A map that is written anew, as that of java is by each `jcmd PID Compiler.perfmap`, says no more
// what it said before: then what ran earlier has the names of its first look, as it has when the
// map appears late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "profile/byte_source.h"
#include "profile/perf_map.h"

namespace sonde {

class PerfMapHistory {
 public:
  static constexpr size_t kMaxSizes = 128;

  // The map as it is now, where a step of the recording ends. Times are of one clock.
  void Note(const ByteSource& map, uint64_t now_ns);
  // The same between two steps: only whether it was written anew.
  void Check(const ByteSource& map, uint64_t now_ns);

  // Nothing was ever noted: names are those of now.
  [[nodiscard]] bool empty() const { return sizes_.empty(); }
  // When it was last found written anew; 0: never.
  [[nodiscard]] uint64_t written_anew_ns() const { return written_anew_ns_; }
  [[nodiscard]] PerfMapTime Between(uint64_t from_ns, uint64_t to_ns) const;
  // Between which steps the recording is to be cut so that each of the sorted `addresses` that went
  // from one name to another has either of them in a piece of its own. In order.
  [[nodiscard]] std::vector<uint64_t> Cuts(const ByteSource& map,
                                           std::span<const uint64_t> addresses) const;
  // What ended before is not asked about any more.
  void Forget(uint64_t before_ns);
  [[nodiscard]] size_t memory_bytes() const { return sizes_.capacity() * sizeof(Size); }

 private:
  static constexpr size_t kTailBytes = 256;
  struct Size {
    uint64_t bytes;
    uint64_t from_ns;  // when it was first and last seen with this size
    uint64_t to_ns;
  };

  [[nodiscard]] static uint64_t HashTail(const ByteSource& map, uint64_t bytes);
  [[nodiscard]] bool IsWrittenAnew(const ByteSource& map) const;

  std::vector<Size> sizes_;
  uint64_t written_anew_ns_ = 0;
  uint64_t tail_hash_ = 0;  // of what lies before sizes_.back().bytes
};

}  // namespace sonde
