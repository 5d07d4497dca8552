// SPDX-License-Identifier: Apache-2.0
// The state of one stack walk, and what its steps share: reading words of the stack, going to the
// next frame, ending. The steps themselves:
//   unwind.cc               frames with a rule, and which step a frame needs
//   unwind_without_rule.cc  frames of code that has no table, or none yet: by frame pointer
//   unwind_go.cc            Go's frames
//
// Internal to the walker (unwind.h): one walk, on the stack of who calls, thread-safe and
// async-signal-safe as it. No memory but the state.
#pragma once

#include <stdint.h>

#include "collectors/safe/unwind.h"
#include "collectors/safe/unwind_code.h"
#include "collectors/safe/unwind_probe.h"

namespace sonde {

inline constexpr uint64_t kPageSize = kProbePageSize;
inline constexpr uint64_t kWord = 8;
// A larger frame is rather another stack, that of the fiber's creator.
inline constexpr uint64_t kLargestFrame = uint64_t{256} << 10;
// Where a process may have code.
inline constexpr uint64_t kLowestCode = uint64_t{1} << 16;
inline constexpr uint64_t kHighestCode = uint64_t{1} << 47;
inline constexpr uint64_t kNoLimit = ~uint64_t{0} & ~(kWord - 1);

struct WalkState {
  const UnwindIndex* index;
  const UnwindModule* module;  // that of the last look-up, or null
  uint64_t* frames;
  uint32_t depth;
  uint32_t max_frames;
  uint64_t after;  // the return address; where the pc is exact, pc + 1
  uint64_t sp;
  uint64_t rbp;
  uint64_t readable_low;  // [readable_low, readable_high) was seen to be readable in this walk
  uint64_t readable_high;
  const StackBounds* bounds;
  uint64_t limit;       // end of this stack
  uint64_t gregs;       // address of the registers of the last frame that all are known of
  bool gregs_on_stack;  // they are a signal frame's, on memory that has to be checked
  bool exact;  // this is that frame: every register counts, and the pc is no return address
  StackEnd end;
  uint32_t unknown_pcs;
  uint64_t missing_pc;  // the first whose table is not built; 0: none
  UnwindMisses* misses;
  const CopiedStack* copy;  // null: the walk reads memory itself
};

// For addresses on pages that were found readable. Async-signal-safe.
inline uint64_t Load(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }

// Async-signal-safe.
inline uint64_t LoadFromCopy(const CopiedStack& copy, uint64_t address) {
  return Load(reinterpret_cast<uint64_t>(copy.bytes) + (address - copy.low));
}

// Reads an aligned word of stack, or sets the walk's end. Async-signal-safe.
bool ReadWord(WalkState& walk, uint64_t address, uint64_t* value);

// A register of the last frame that all are known of. Async-signal-safe.
bool ReadGreg(WalkState& walk, unsigned reg, uint64_t* value);

// Whether the word at `slot` is a return address: code is known before it that ends in a call.
// Async-signal-safe.
bool IsReturnAddress(WalkState& walk, uint64_t slot, uint64_t* value);

// The end of the stack that sp is on, as far as it is known. Async-signal-safe.
inline uint64_t LimitOf(const StackBounds& bounds, uint64_t sp) {
  const bool inside = sp >= bounds.low && sp < bounds.high;
  return inside ? bounds.high & ~(kWord - 1) : kNoLimit;
}

// Async-signal-safe.
inline void GoTo(WalkState& walk, uint64_t return_address, uint64_t sp) {
  walk.frames[walk.depth++] = return_address;
  walk.after = return_address;
  walk.sp = sp;
  walk.exact = false;
  walk.end = StackEnd::kDepthLimit;  // if no other way is found to end
}

// Async-signal-safe.
inline bool End(WalkState& walk, StackEnd end) {
  walk.end = end;
  return false;
}

// Async-signal-safe.
inline bool InKnownCode(const WalkState& walk, uint64_t pc) {
  return walk.index->Find(pc) != nullptr;
}

// Async-signal-safe.
inline bool FollowsCall(const WalkState& walk, uint64_t address) {
  return FollowsCall(*walk.index, walk.copy, address);
}

// Whether `saved`, found at `frame`, can be the next frame of a chain. Async-signal-safe.
inline bool IsChained(const WalkState& walk, uint64_t frame, uint64_t saved) {
  return saved > frame && saved % kWord == 0 && saved < walk.limit - kWord;
}

// One frame of code without a rule. False: the walk has ended. Async-signal-safe.
bool StepWithoutRule(WalkState& walk);

// Asks for the table, and goes on as far as that is possible without. Async-signal-safe.
bool StepBeforeTableIsBuilt(WalkState& walk);

// Whether the frame is Go's code. Async-signal-safe.
bool IsInGo(const WalkState& walk);

// One frame of Go's code. Async-signal-safe.
bool StepGo(WalkState& walk);

}  // namespace sonde
