// SPDX-License-Identifier: Apache-2.0
// Frames of code that no rule is known for: hand-written or made at run time, or its table is not
// built yet. They are left by the return address on top of the stack or by their frame pointer.
#include "collectors/safe/unwind_walk.h"

namespace sonde {
namespace {

// Where frame 0 in code without rules has its return address if it has no frame: it may not have
// touched its stack yet (or a call to nowhere has led here), or only just pushed the caller's rbp.
// 0: not there. Async-signal-safe.
uint64_t ReturnSlotOfLeaf(WalkState& walk) {
  if (walk.sp % kWord != 0) return 0;
  uint64_t value;
  if (IsReturnAddress(walk, walk.sp, &value)) return walk.sp;
  if (!ReadWord(walk, walk.sp, &value) || value != walk.rbp) return 0;
  return IsReturnAddress(walk, walk.sp + kWord, &value) ? walk.sp + kWord : 0;
}

// Whether the frames that `frame` is chained to come to a return address in known code. Code that
// was compiled since the index was made is believed between two that are known. Not inlined: the
// room of its callers is needed below them. Async-signal-safe.
__attribute__((noinline)) bool LeadsToKnownCode(WalkState& walk, uint64_t frame) {
  constexpr int kFarthest = 32;
  for (int i = 0; i < kFarthest; ++i) {
    uint64_t saved, return_address;
    if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) break;
    if (InKnownCode(walk, return_address - 1)) return FollowsCall(walk, return_address);
    if (!IsChained(walk, frame, saved) || saved - frame > kLargestFrame) break;
    frame = saved;
  }
  return false;
}

// A caller that keeps no frame pointer has anything in rbp: then the call before the return address
// has to vouch for the frame. Async-signal-safe.
bool IsFrame(WalkState& walk, uint64_t frame, uint64_t saved, uint64_t return_address) {
  const bool chained = IsChained(walk, frame, saved);
  if (InKnownCode(walk, return_address - 1)) return chained || FollowsCall(walk, return_address);
  if (!chained || return_address - kLowestCode >= kHighestCode - kLowestCode) return false;
  ++walk.unknown_pcs;
  return LeadsToKnownCode(walk, saved);
}

// Async-signal-safe.
bool StepFramePointer(WalkState& walk) {
  if (IsInGo(walk)) return StepGo(walk);
  const uint64_t frame = walk.rbp;
  if (frame < walk.sp || frame - walk.sp > kLargestFrame || frame >= walk.limit - kWord ||
      frame % kWord != 0) {
    return End(walk, StackEnd::kNoUnwindData);
  }
  uint64_t saved, return_address;
  if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) {
    return false;
  }
  if (return_address == 0) return End(walk, StackEnd::kRoot);
  if (!IsFrame(walk, frame, saved, return_address)) return End(walk, StackEnd::kNoUnwindData);
  walk.rbp = saved;
  GoTo(walk, return_address, frame + 2 * kWord);
  return true;
}

// A walk that is cut sees one missing table; its callers' are asked for in one go, by what looks
// like their return addresses. A wrong guess costs the builder a chunk that nobody uses.
// Async-signal-safe.
__attribute__((noinline)) void AskForCallers(WalkState& walk) {
  constexpr uint64_t kReach = 4096;
  const StackEnd end = walk.end;
  const uint64_t from = (walk.sp + kWord - 1) & ~(kWord - 1);
  for (uint64_t slot = from; slot - from < kReach && slot < walk.limit; slot += kWord) {
    uint64_t value;
    if (!ReadWord(walk, slot, &value)) break;
    const UnwindModule* module = walk.index->Find(value - 1);
    if (module == nullptr || !module->on_demand || !FollowsCall(walk, value)) continue;
    walk.misses->Ask(value - 1);
  }
  walk.end = end;
}

}  // namespace

// A frame keeps what older calls have left in it, also return addresses, and one of them may lie at
// rsp: so a function that has made a frame is left by its frame pointer. Async-signal-safe.
bool StepWithoutRule(WalkState& walk) {
  const uint64_t slot = walk.exact ? ReturnSlotOfLeaf(walk) : 0;
  if (slot == 0) return StepFramePointer(walk);
  if (HasMadeFrame(*walk.index, walk.copy, walk.after - 1) && StepFramePointer(walk)) return true;
  uint64_t return_address;
  if (!ReadWord(walk, slot, &return_address)) return false;
  GoTo(walk, return_address, slot + kWord);
  return true;
}

// Asks for the table, and goes on as far as that is possible without. Async-signal-safe.
bool StepBeforeTableIsBuilt(WalkState& walk) {
  if (walk.missing_pc == 0) walk.missing_pc = walk.after - 1;
  if (walk.misses != nullptr) walk.misses->Ask(walk.after - 1);
  if (StepWithoutRule(walk)) return true;
  if (walk.end == StackEnd::kNoUnwindData) walk.end = StackEnd::kTableNotBuilt;
  if (walk.misses != nullptr) AskForCallers(walk);
  return false;
}

}  // namespace sonde
