// SPDX-License-Identifier: Apache-2.0
// What the recorder kept in a region, of a live process or of one that is long dead. Used by the
// agent for ?last= and by the CLI for region files. Reentrant. Memory: what the steps of the window
// hold together, below `max_bytes`, and that once more while a piece is finished; what is lightest
// gives way and is counted as lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collectors/coverage.h"
#include "collectors/fold_counts.h"
#include "collectors/safe/region.h"

namespace sonde {

struct Past {
  // From the first step's start to the last one's end; one for each part between two cuts.
  std::vector<FoldProfile> pieces;
  uint64_t covered_ns = 0;      // of it, how long sampling was on
  uint32_t rate_hz = 0;         // the highest that was in force
  std::vector<Gap> gaps;        // at least a second long, in order
  uint64_t oldest_ns = 0;       // where the whole recording begins; 0: there is none
  bool is_overwritten = false;  // it once began earlier, and the ring was full
  uint32_t damaged = 0;         // steps that cannot be read
};

// Whole steps: every one of which a part lies in [from_ns, to_ns). CLOCK_MONOTONIC. A step belongs
// to the piece in which it starts; `cuts` are in order. No piece: there is nothing of it.
[[nodiscard]] Past ReadPast(const Region& region, uint64_t from_ns, uint64_t to_ns,
                            size_t max_bytes, std::span<const uint64_t> cuts = {});

}  // namespace sonde
