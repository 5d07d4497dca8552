// SPDX-License-Identifier: Apache-2.0
// A step of the recorder as bytes, for the region's ring. Stacks are sorted from the root, so that
// each one stores only the frames in which it differs from the one before; everything is a varint.
// Written by the recorder, read by it and by whoever reads a region file. Pure functions. Memory:
// 64 bytes a stack while it encodes.
//
//   step    = covered ns, rate, why not, threads, samples, losses        (counts before the lists)
//   thread  = pid, tid, slot, generation, name length, name
//   sample  = thread, kind, flags, events, amount, frames shared with the one before (from the
//             root), further frames, each as the difference to the frame below it
//   loss    = kind, reason, events, amount
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "collectors/fold_counts.h"

namespace sonde {

// Why nothing was sampled for a while. Stored in regions, so numbers are never reused.
enum class GapReason : uint8_t {
  kNone = 0,
  kKillSwitch = 1,
  kSetting = 2,    // SONDE_CPU or SONDE_ENABLE
  kNoSignal = 3,   // the service has them all
  kGuard = 4,      // crash guard, an old kernel
  kAgentAway = 5,  // its thread paused, or the process that had it ended and another took over
};
inline constexpr uint32_t kGapReasonLimit = 8;
const char* GapReasonText(GapReason reason);

// What is known of a step besides its counts.
struct StepFacts {
  uint64_t covered_ns = 0;  // of its length, how long sampling was on
  uint32_t rate_hz = 0;     // the highest that was in force
  GapReason gap = GapReason::kNone;
};

// At most `max_bytes`: the lightest samples are left out then and counted as lost under
// kReaderFull.
std::vector<uint8_t> EncodeStep(const FoldCounts& counts, const StepFacts& facts, size_t max_bytes);

// What DecodeStep finds, in order. The frames of a delta are valid during the call only.
class StepVisitor {
 public:
  virtual ~StepVisitor() = default;
  virtual void OnSample(const FoldDelta& delta) = 0;
  virtual void OnLoss(const FoldLoss& loss) = 0;
};

// False: the bytes make no sense from some point on; what came before was handed over. They may be
// hostile.
[[nodiscard]] bool DecodeStep(std::span<const uint8_t> bytes, StepFacts* facts,
                              StepVisitor* visitor);

}  // namespace sonde
