// SPDX-License-Identifier: Apache-2.0
// Go's frames. Its code has no unwind information, but keeps frame pointers.
#include "collectors/safe/unwind_walk.h"

namespace sonde {
namespace {

// From the first instruction of what Go makes an interrupted goroutine call. Async-signal-safe.
bool StepGoPreemption(WalkState& walk) {
  uint64_t interrupted;
  if (!walk.exact || !IsGoPreemption(*walk.index, walk.copy, walk.after - 1)) return false;
  if (!ReadWord(walk, walk.sp, &interrupted) || !InKnownCode(walk, interrupted)) return false;
  GoTo(walk, interrupted + 1, walk.sp + kWord);
  return true;
}

// Whether a frame of Go's is one: a call has to vouch for it, or the chain that it is in. Nothing
// has called the first function of a goroutine. Async-signal-safe.
bool IsGoFrame(WalkState& walk, bool chained, uint64_t saved, uint64_t return_address) {
  if (!InKnownCode(walk, return_address - 1)) return false;
  if (chained || FollowsCall(walk, return_address)) return true;
  return saved == 0 &&
         GoPlaceOf(*walk.index, walk.copy, return_address) == GoPlace::kGoroutineStart;
}

}  // namespace

// Go's code changes stacks in the middle of a chain, to a thread's for calls of C and of its own
// runtime and back to a goroutine's, which lie anywhere; max_frames bounds a walk that is led in
// circles. A chain ends with 0, in the function that a goroutine or a thread starts in. What the
// scheduler runs on its own stack is not the goroutine's that left it there. Async-signal-safe.
__attribute__((noinline)) bool StepGo(WalkState& walk) {
  const uint64_t frame = walk.rbp;
  if (StepGoPreemption(walk)) return true;
  if (frame == 0 && !walk.exact) return End(walk, StackEnd::kRoot);
  if (frame % kWord != 0 || frame < kLowestCode) return End(walk, StackEnd::kNoUnwindData);
  const bool near = frame >= walk.sp && frame - walk.sp <= kLargestFrame;
  if (!near && GoPlaceOf(*walk.index, walk.copy, walk.after) == GoPlace::kScheduler) {
    return End(walk, StackEnd::kRoot);
  }
  uint64_t saved, return_address;
  if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) {
    return false;
  }
  const bool chained = near && IsChained(walk, frame, saved);
  if (!IsGoFrame(walk, chained, saved, return_address)) return End(walk, StackEnd::kNoUnwindData);
  if (!near) walk.limit = LimitOf(*walk.bounds, frame);
  walk.rbp = saved;
  GoTo(walk, return_address, frame + 2 * kWord);
  return true;
}

// Async-signal-safe.
bool IsInGo(const WalkState& walk) {
  const UnwindModule* module = walk.index->Find(walk.after - 1);
  return module != nullptr && module->is_go;
}

}  // namespace sonde
