// SPDX-License-Identifier: Apache-2.0
// What the fold hands on: increments, each exactly once. Implemented by captures, the recorder and
// detectors; called on the agent thread only.
#pragma once

#include <cstdint>
#include <span>

#include "collectors/safe/region_layout.h"
#include "collectors/safe/stack_table.h"

namespace sonde {

// Who ran, copied while its slot was still there.
struct FoldThread {
  int32_t pid = 0;
  int32_t tid = 0;
  uint32_t slot = 0;
  uint32_t generation = 0;  // with slot: tells two threads with a reused tid apart
  char name[17] = {};
};

// What was added to one cell since the fold before. The frames are valid during the call only.
struct FoldDelta {
  std::span<const uint64_t> frames;  // leaf first
  uint16_t flags = 0;                // StackContent::flags
  uint64_t hash = 0;                 // HashStack of the two
  StackId stack = kNoStack;          // what the region calls it, as long as it is there
  FoldThread thread;
  Kind kind = Kind::kNone;
  uint64_t events = 0;
  uint64_t amount = 0;
};

class FoldSink {
 public:
  virtual ~FoldSink() = default;
  virtual void OnDelta(const FoldDelta& delta) = 0;
  // What was offered and is in no delta, by reason.
  virtual void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) = 0;
  // Everything up to `now_ns` (CLOCK_MONOTONIC) has been handed over. Never less than before.
  virtual void OnFoldEnd(uint64_t now_ns) = 0;
};

}  // namespace sonde
