// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about the stacks that made threads; agent/life implements it, tests do
// so with known numbers. Agent thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"

namespace sonde {

// One call stack of one process.
struct CreatorSample {
  std::vector<uint64_t> frames;  // return addresses, leaf first; empty: not known
  int pid = 0;
  int64_t made = 0;  // threads, since the collector was switched on
  int64_t live = 0;  // of them, now
};

struct CreatorsSnapshot {
  std::vector<CreatorSample> samples;
  std::vector<NamedCount> lost;  // threads whose making was not counted, by reason
};

struct CreatorsTotals {
  bool on = false;
  uint64_t made = 0;
  uint64_t lost = 0;
};

class CreatorsSource {
 public:
  virtual ~CreatorsSource() = default;
  // False, and why, when it is not looked after now.
  [[nodiscard]] virtual bool Read(CreatorsSnapshot* out, std::string* error) = 0;
  [[nodiscard]] virtual CreatorsTotals Totals() = 0;
  // Of a living thread of the main process: return addresses, leaf first; empty: not known.
  [[nodiscard]] virtual std::vector<uint64_t> CreatorOf(int tid) = 0;
};

}  // namespace sonde
