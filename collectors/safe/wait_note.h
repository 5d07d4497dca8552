// SPDX-License-Identifier: Apache-2.0
// What a lock hook leaves on its own stack while it waits, for whoever looks at the thread from
// outside (collectors/wait_note_reader.h): since when, for what, and the frame that called, whose
// frame pointer the kernel does not tell. A few stores where the thread is about to sleep, no
// table, nothing to take back: a wait that ends by cancellation or longjmp leaves words below the
// stack pointer, where nobody looks.
//
// Written by the waiting thread alone, read by the agent's through the memory file. Memory: 48
// bytes of the waiter's stack.
#pragma once

#include <stdint.h>

#include "collectors/safe/hook_stack.h"
#include "collectors/safe/region_layout.h"

namespace sonde {

// Lies as it is written. `mark` is a constant mixed with the address, so a copy of it elsewhere is
// none; it is written last and taken back first.
struct WaitNote {
  static constexpr uint64_t kMark = 0x9d3f'51e6'c7a8'42b1;

  volatile uint64_t mark;
  volatile uint64_t since_ns;        // CLOCK_MONOTONIC
  volatile uint64_t kind;            // Kind
  volatile uint64_t return_address;  // HookFrame
  volatile uint64_t stack_pointer;
  volatile uint64_t frame_pointer;

  // Malloc-safe: may not allocate or block.
  static uint64_t MarkAt(uint64_t address) { return kMark ^ address; }

  // Malloc-safe: may not allocate or block. The calling thread begins to wait; and has waited.
  __attribute__((always_inline)) void Begin(const HookFrame& caller, Kind wait, uint64_t now_ns) {
    since_ns = now_ns;
    kind = static_cast<uint64_t>(wait);
    return_address = caller.return_address;
    stack_pointer = caller.stack_pointer;
    frame_pointer = caller.frame_pointer;
    mark = MarkAt(reinterpret_cast<uint64_t>(this));
  }
  // Malloc-safe: may not allocate or block.
  __attribute__((always_inline)) void End() { mark = 0; }
};

}  // namespace sonde
