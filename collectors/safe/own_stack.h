// SPDX-License-Identifier: Apache-2.0
// The stack that a thread was made with, as the thread itself can know it without a system call.
//
// The main thread's is the kernel's, up to an address that never changes. A pthread's is what glibc
// noted in the thread's descriptor, at the end of that very stack; where in the descriptor differs
// between versions of glibc, so the agent looks it up once in its own (collectors/stack_layout.h).
// On any other stack (fibers, sigaltstack, raw clone) the answer is "unknown". There may be holes
// in it all the same (fibers that were carved out of it, guard zones of Java): probe each page.
//
// Called by handlers. Thread-safe. No memory.
#pragma once

#include <stdint.h>

#include "collectors/safe/unwind.h"

namespace sonde {

struct StackLayout {
  uint64_t main_high = 0;     // end of the main thread's stack; 0: not known
  uint64_t main_frames = 0;   // end of its frames; above are arguments, environment; 0: not known
  uint32_t block_offset = 0;  // in the descriptor: the stack's start and size; 0: not known
};

// Cold path only. Before it is called all stacks are unknown.
void SetStackLayout(const StackLayout& layout);

// Async-signal-safe. The calling thread's own stack if `sp` lies in it, else {0, 0}. Never
// `readable`.
StackBounds OwnStack(uint64_t sp);

// Async-signal-safe. Where the frames of that stack end, which is where it ends, or before.
uint64_t EndOfFrames(const StackBounds& own);

// Async-signal-safe. What a walk from `sp` can be told at once, without a probe: the end of the
// main thread's stack, or where a pthread's probably ends.
StackBounds BoundsForWalk(uint64_t sp);

}  // namespace sonde
