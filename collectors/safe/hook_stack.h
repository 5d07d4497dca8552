// SPDX-License-Identifier: Apache-2.0
// Stacks that are taken inside a hook: from the function that called the hooked one, so no frame of
// ours is in them. Called by hooks and by what they call, in any thread; lock-free. No memory of
// its own.
#pragma once

#include <stdint.h>

#include "collectors/safe/frame_store.h"
#include "collectors/safe/unwind_index.h"

namespace sonde {

// Where a hook was called: the frame of the function that the exported one jumped to.
struct HookFrame {
  uint64_t return_address;
  uint64_t stack_pointer;  // after the return
  uint64_t frame_pointer;  // of the caller
};

// Malloc-safe: may not allocate or block. Of the function that this is inlined into.
__attribute__((always_inline)) inline HookFrame ThisHookFrame() {
  const auto* frame = static_cast<const uint64_t*>(__builtin_frame_address(0));
  return {frame[1], reinterpret_cast<uint64_t>(frame + 2), frame[0]};
}

// Malloc-safe: may not allocate or block. What a walk from there begins with.
Registers RegistersOf(const HookFrame& caller);

// Malloc-safe: may not allocate or block. The frames from the hook's caller on, every one a return
// address. `frames` has room for kMaxDepth.
StackContent WalkFromHook(const HookFrame& caller, uint64_t* frames);

struct HookWalk {
  StackContent content;
  // Code whose table is not there yet ended the walk, or spoiled it; 0: none.
  uint64_t missing_pc = 0;
};

// Malloc-safe: may not allocate or block. The same for who can have the walk finished later: asks
// for no table.
HookWalk TryWalkFromHook(const HookFrame& caller, uint64_t* frames);

// Malloc-safe: may not allocate or block. False when a few frames of ours would run into the end of
// the stack.
bool HasRoomForHook();

}  // namespace sonde
