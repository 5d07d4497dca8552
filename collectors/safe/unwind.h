// SPDX-License-Identifier: Apache-2.0
// The stack walker: from a set of registers to the list of callers.
//
// Called from the CPU signal handler and from inside hooks, on the stack it walks or on an
// alternate one. Thread-safe and async-signal-safe: no lock, no allocation, no libc, no errno, no
// thread-local state; the only system call is the probe below. Own stack: at most 700 bytes.
//
// It cannot fault, whatever the registers, the stack or the tables say: a page of stack is read
// only after rt_sigprocmask with an impossible `how` has read 8 bytes of it (EINVAL: readable,
// EFAULT: not; about 85 ns, once a page and walk). The page the walker itself runs on needs none.
// What stays open is a page that another thread unmaps between the probe and the read; the live
// stack of a running thread is not such a page.
//
// Rules come from the tables of unwind_index.h. Code without them (JIT, assembly, or code whose
// table is not made yet) is walked by its frame pointer, and as a frame 0 that has not touched its
// stack by the return address at rsp.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "collectors/safe/unwind_index.h"
#include "collectors/safe/unwind_publication.h"

namespace sonde {

// The stack that the walk starts on, [low, high); {0, 0} when unknown. A walk that starts outside
// takes no notice of it; one that starts inside ends at `high`. `low` may be too low (0 will do).
struct StackBounds {
  uintptr_t low = 0;
  uintptr_t high = 0;
  bool readable = false;  // for certain, from every sp inside up to `high`: needs no probes
  // A word that was written just now: its page is readable. 0: none.
  uintptr_t written = 0;
  // Where the stack probably ends: there pages are probed one by one, because a probe that fails
  // costs ten that do not. Only a hint. 0: none.
  uintptr_t probable_end = 0;
};

enum class StackEnd : uint8_t {
  kRoot,           // the thread's, process's or fiber's first frame
  kDepthLimit,     // frames_out is full
  kNoUnwindData,   // code without a usable rule and without a believable frame pointer
  kBadFrame,       // a frame that is not above its callee, not aligned, or outside the bounds
  kUnreadable,     // a frame on a page that cannot be read
  kTableNotBuilt,  // code whose table is made on demand: it is asked for, and not there yet
};

struct WalkResult {
  uint32_t depth = 0;
  StackEnd end = StackEnd::kNoUnwindData;
  bool unknown_pc = false;  // a pc outside every executable range of the index was met
  // A pc whose table is made on demand was met before it was made, or there are no tables yet.
  bool not_built = false;
  uint64_t missing_pc = 0;  // the first of those
};

// Whether a walk that misses a table asks for it, and for what else it would have come to.
enum class WhenMissing : uint8_t { kAsk, kOnlySay };

// Registers of the caller, as after the return from this function. Async-signal-safe.
__attribute__((always_inline)) inline void CaptureRegisters(Registers* out) {
  asm volatile(
      "movq %%r8, 0(%0)\n movq %%r9, 8(%0)\n movq %%r10, 16(%0)\n movq %%r11, 24(%0)\n"
      "movq %%r12, 32(%0)\n movq %%r13, 40(%0)\n movq %%r14, 48(%0)\n movq %%r15, 56(%0)\n"
      "movq %%rdi, 64(%0)\n movq %%rsi, 72(%0)\n movq %%rbp, 80(%0)\n movq %%rbx, 88(%0)\n"
      "movq %%rdx, 96(%0)\n movq %%rax, 104(%0)\n movq %%rcx, 112(%0)\n movq %%rsp, 120(%0)\n"
      "leaq 1f(%%rip), %%rax\n movq %%rax, 128(%0)\n 1:\n"
      :
      : "r"(out->gpr)
      : "rax", "memory");
}

// Walks the stack that `registers` describe. frames_out[0] is registers' rip; every further entry
// is a return address (its call is at address - 1), also where a signal handler interrupted the
// frame: there it is the interrupted pc + 1. Writes at most max_frames entries. Async-signal-safe.
// `misses` (may be null) is told which tables were not built.
WalkResult WalkStack(const UnwindIndex* index, const Registers& registers,
                     const StackBounds& bounds, uint64_t* frames_out, uint32_t max_frames,
                     UnwindMisses* misses = nullptr);

// The same with the index that is published now; notes what the builder has to look into.
// Async-signal-safe.
WalkResult WalkStack(UnwindPublication& publication, const Registers& registers,
                     const StackBounds& bounds, uint64_t* frames_out, uint32_t max_frames,
                     WhenMissing when_missing = WhenMissing::kAsk);

// A piece of a stack as it was, for a walk that is made later: [low, high) of it lies at `bytes`.
struct CopiedStack {
  uint64_t low = 0;  // aligned to 8, as is high
  uint64_t high = 0;
  const uint8_t* bytes = nullptr;
  // The table for `pc`, which lies in a range of the index that is made on demand; null: there is
  // none to be had. What it returns is good until the next call.
  const UnwindModule* (*build)(void* context, uint64_t pc) = nullptr;
  // Code at `address`. False: it cannot be read.
  bool (*read_code)(void* context, uint64_t address, void* out, size_t size) = nullptr;
  void* context = nullptr;
};

// The same walk over a copy: reads no memory but the copy, and gets the tables that it misses. Cold
// path only.
WalkResult WalkCopiedStack(const UnwindIndex* index, const Registers& registers,
                           const CopiedStack& copy, uint64_t* frames_out, uint32_t max_frames);

}  // namespace sonde
