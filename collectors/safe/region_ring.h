// SPDX-License-Identifier: Apache-2.0
// The last minutes, in the region, so that they outlive the process: a ring of steps, each a record
// of bytes that fold_codec.h understands, and the step that is being filled, in two copies. Written
// by the cold side, about once a second; read by anyone, also after a death. Memory:
// counts.ring_bytes
// + 2 × counts.open_step_bytes.
//
//        tail ▼                       head ▼
//   ┄┄┄┬───────────┬───────────┬───────────┬┄┄┄      open:  ┌────────┐ ┌────────┐
//      │  oldest   │    …      │  newest   │  free          │ copy 0 │ │ copy 1 │  the active one
//   ┄┄┄┴───────────┴───────────┴───────────┴┄┄┄             └────────┘ └────────┘  is whole
//
// Killed at any store, tail … head are whole steps: the tail moves before the words behind it are
// reused, the head after the words before it are written. A reader that copies the region while it
// is written to finds what was overwritten by the checksum of each record.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"

namespace sonde {

struct RingStep {
  uint64_t start_ns = 0;  // CLOCK_MONOTONIC
  uint64_t end_ns = 0;
  uint32_t bytes = 0;
};

// Cold path only. The largest step that can be kept.
uint32_t MaxStepBytes(const Region& region);

// Cold path only. Writes a finished step over the oldest ones. False: it is too large.
bool AppendStep(const Region& region, const RingStep& step, const void* bytes);

// Cold path only. Replaces the step that is being filled; bytes = 0: there is none now. False: it
// is too large, and the old one stays.
bool StoreOpenStep(const Region& region, const RingStep& step, const void* bytes);

// Where a reader is, in words ever written.
struct RingCursor {
  uint64_t at = 0;
  uint64_t end = 0;
};

// Async-signal-safe. From the oldest step on.
RingCursor OldestStep(const Region& region);

// What ReadStep found.
enum class RingRead { kStep, kDamaged, kEnd };

// Cold path only. The next step, copied to `bytes`, which has room for MaxStepBytes. kDamaged: one
// that was overwritten meanwhile or is hostile; go on.
RingRead ReadStep(const Region& region, RingCursor* cursor, RingStep* step, void* bytes);

// Cold path only. The step that is being filled. False: there is none, or it is damaged.
bool ReadOpenStep(const Region& region, RingStep* step, void* bytes);

}  // namespace sonde
