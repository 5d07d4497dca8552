// SPDX-License-Identifier: Apache-2.0
// A copy of the calling thread's own stack, for a walk that is made later. Called by the CPU
// handler and by allocation hooks, in any thread. No memory of its own, no lock.
//
// Only of a stack that is known to be the thread's own (own_stack.h): what lies behind the end of
// another may be unmapped by another thread at any moment.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde {

struct OwnStackCopy {
  uint64_t low = 0;    // the address of the first byte that was copied, a multiple of 8
  uint64_t bytes = 0;  // a multiple of 8; 0: it cannot be had
};

// Async-signal-safe. How many bytes there are to copy from `sp` on; 0: the stack is not known.
uint64_t OwnStackBytes(uint64_t sp);

// Async-signal-safe. Copies from just below `sp` up, as far as `room` goes and pages can be read.
OwnStackCopy CopyOwnStack(uint64_t sp, uint8_t* to, size_t room);

}  // namespace sonde
