// SPDX-License-Identifier: Apache-2.0
// What the heap endpoints may ask of the running agent; agent/life implements it, tests do so with
// known numbers. Agent thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"
#include "collectors/shared_frames.h"

namespace sonde {

// One call stack of one process, as estimated from the sampled blocks.
struct HeapSample {
  SharedFrames frames;         // return addresses, leaf first; empty: `synthetic_leaf` alone
  std::string synthetic_leaf;  // "[dropped: live_table_full]" and the like; empty: none
  int pid = 0;
  bool mmap = false;  // a mapping of the service's own, not a block of its allocator
  int64_t alloc_objects = 0;
  int64_t alloc_bytes = 0;
  int64_t inuse_objects = 0;
  int64_t inuse_bytes = 0;
};

struct HeapQuery {
  int64_t min_age_ms = 0;   // of live blocks; younger ones are left out
  int64_t last_ms = 0;      // only what was allocated in this time; in use: what of it is left
  bool allocators = false;  // also what an allocator sampled itself that the hooks do not see
  bool peak = false;        // what was in use when that was most; nothing is told of allocations
};

struct HeapSnapshot {
  std::vector<HeapSample> samples;
  int64_t interval_bytes = 0;
  int64_t since_unix_ms = 0;  // when the collector was switched on: older blocks are unknown
  uint64_t anonymous_before_bytes = 0;  // that the process had by then; 0: not known
  uint64_t live_samples = 0;            // blocks that the live half rests on
  uint64_t mapping_samples = 0;         // the same of mappings
  std::vector<std::string> notes;       // sentences about what was asked for
};

struct HeapTotals {
  bool on = false;
  int64_t interval_bytes = 0;
  uint64_t live_samples = 0;
  uint64_t live_samples_max = 0;
  double live_objects = 0;  // estimates of everything that is live
  double live_bytes = 0;
  uint64_t allocated_objects = 0;  // since the collector was switched on
  uint64_t allocated_bytes = 0;
  std::vector<NamedCount> dropped;  // estimated blocks that are not in the profile, by reason
};

class HeapSource {
 public:
  virtual ~HeapSource() = default;
  // False, and why, when there is no heap profile to be had now.
  [[nodiscard]] virtual bool Read(const HeapQuery& query, HeapSnapshot* out,
                                  std::string* error) = 0;
  [[nodiscard]] virtual HeapTotals Totals() = 0;
};

}  // namespace sonde
