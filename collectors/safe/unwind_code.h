// SPDX-License-Identifier: Apache-2.0
// What the bytes of machine code say to the stack walker where no table does: whether an address is
// one that a call returns to, and whether the function at a pc has made a frame.
//
// Called by the walker, in handlers and hooks and on the cold side. Thread-safe and
// async-signal-safe; each page is probed before it is read (unwind_probe.h). On the cold side the
// code is read through the copy's read_code: nobody runs it any more, so it may go at any moment.
// No memory.
#pragma once

#include <stdint.h>

#include "collectors/safe/unwind.h"

namespace sonde {

// The code bytes before `address`, in a range of the index, are a call, as far as they can be read.
// `copy`: null for the code that runs now. Async-signal-safe.
bool FollowsCall(const UnwindIndex& index, const CopiedStack* copy, uint64_t address);

// What Go's assembly has at `address`, a return address in its code.
enum class GoPlace : uint8_t {
  kOther,
  kGoroutineStart,  // in goexit, which the first function of a goroutine seems to be called by
  kScheduler,       // in mcall: its goroutine is parked and may run elsewhere by now
};
// Async-signal-safe.
GoPlace GoPlaceOf(const UnwindIndex& index, const CopiedStack* copy, uint64_t address);

// Whether `pc` is where Go's runtime lets a goroutine go on that it interrupts by a signal: it
// seems to be called by the interrupted instruction. Ticks of the clock that are also a goroutine's
// turn's end find it there. Async-signal-safe.
bool IsGoPreemption(const UnwindIndex& index, const CopiedStack* copy, uint64_t pc);

// Whether the function that is interrupted at `pc` has pushed rbp and made it the base of its
// frame: those two instructions are found before pc on its page, no end of a function between, and
// the frame is not just being left. True also if the page shows neither, up to where it begins:
// whoever asks has to see that rbp leads to a caller. Async-signal-safe.
bool HasMadeFrame(const UnwindIndex& index, const CopiedStack* copy, uint64_t pc);

}  // namespace sonde
