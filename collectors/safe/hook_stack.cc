// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/hook_stack.h"

#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/own_stack.h"
#include "collectors/safe/unwind.h"
#include "collectors/safe/unwind_probe.h"

namespace sonde {

namespace {

// Malloc-safe: may not allocate or block.
HookWalk Walk(const HookFrame& caller, uint64_t* frames, WhenMissing when_missing) {
  StackBounds bounds = BoundsForWalk(caller.stack_pointer);
  bounds.written = caller.stack_pointer - sizeof(caller.return_address);  // by the call
  const WalkResult walk =
      WalkStack(CpuUnwindTables(), RegistersOf(caller), bounds, frames, kMaxDepth, when_missing);
  frames[0] = caller.return_address;
  return {{frames, walk.depth, StackFlags(walk.end)}, walk.not_built ? walk.missing_pc : 0};
}

}  // namespace

Registers RegistersOf(const HookFrame& caller) {
  Registers registers{};
  registers.gpr[kRip] = caller.return_address - 1;
  registers.gpr[kRsp] = caller.stack_pointer;
  registers.gpr[kRbp] = caller.frame_pointer;
  return registers;
}

StackContent WalkFromHook(const HookFrame& caller, uint64_t* frames) {
  return Walk(caller, frames, WhenMissing::kAsk).content;
}

HookWalk TryWalkFromHook(const HookFrame& caller, uint64_t* frames) {
  return Walk(caller, frames, WhenMissing::kOnlySay);
}

bool HasRoomForHook() {
  constexpr uint64_t kRoomNeeded = 2048;  // below the caller's frame
  const auto here = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t below = (here - kRoomNeeded) & ~(kProbePageSize - 1);
  return below == (here & ~(kProbePageSize - 1)) || PageReadable(below);
}

}  // namespace sonde
