// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about lock contention; agent/life implements it, tests do so with
// known numbers. Agent thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/endpoints/sources.h"

namespace sonde {

// One wait that goes on, the same at each reading, and what it has counted so far. `measured`: when
// it ends it is counted among those that have.
struct OpenPart {
  uint64_t id = 0;
  int64_t delay_ns = 0;
  bool measured = true;
};

// Whose stacks: of those who unlock what others wait for, or of those who wait.
enum class ContentionSide : uint8_t { kHolders, kWaiters };

struct ContentionSample {
  std::vector<uint64_t> frames;  // return addresses, leaf first; empty: lost, `lost` says why
  std::string lock;              // of waiters: "mutex", "rwlock", "condition", "semaphore", "join"
  std::string lost;              // "[dropped: stack_table_full]", "[other stacks]"
  int pid = 0;
  int64_t contentions = 0;
  int64_t delay_ns = 0;
  // Of waits that have not ended, each of them; their delay is that so far. Empty: of all that
  // have.
  std::vector<OpenPart> open = {};
};

struct ContentionSnapshot {
  std::vector<ContentionSample> samples;
  std::vector<std::string> notes;  // sentences: what is missing
  int64_t period_ns = 0;           // a shorter delay is sampled with the probability delay / period
  int64_t since_unix_ms = 0;
};

struct ContentionPast {
  ContentionSnapshot counts;  // its since_unix_ms 0: it is off now
  CpuWindow window;           // when and for how long; no samples
};

struct ContentionTotal {
  std::string lock;  // of waiters, as above; "holders"
  uint64_t contentions = 0;
  double delay_seconds = 0;
};

class ContentionSource {
 public:
  virtual ~ContentionSource() = default;
  // Null: it is on. Else a sentence: why it is off, and how it is switched on.
  [[nodiscard]] virtual const char* WhyOff() const = 0;
  [[nodiscard]] virtual ContentionSnapshot Read(ContentionSide side) = 0;
  // Between two times since 1970, from the recording, whether it is on now or not.
  [[nodiscard]] virtual ContentionPast ReadPast(ContentionSide side, int64_t from_unix_ns,
                                                int64_t to_unix_ns) = 0;
  [[nodiscard]] virtual std::vector<ContentionTotal> Totals() = 0;
};

}  // namespace sonde
