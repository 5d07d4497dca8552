// SPDX-License-Identifier: Apache-2.0
// Walks the stack of a thread that waits, from nothing but its stack pointer and pc, which is all
// that /proc/PID/task/TID/syscall tells.
//
// The missing register is rbp: most system-call sites of libc leave the caller's in the register,
// and a frame that needs it (built with -O0, or with frame pointers) could not be left. A lock hook
// that measures has noted it on the stack (wait_note_reader.h). Else it is recovered by a search up
// the stack for a value that would make a frame which
//   - has a return address behind a call, and behind a call of the very function that it is for,
//     as far as the call tells (direct, or through the PLT), and
//   - from there leads by the unwind tables alone to the first frame of the thread.
// Frames that rest on such a value are "inferred".
//
// Go's code has no tables, and its frame pointers lead from stack to stack
// (stack_from_outside_go.cc): they are followed where rbp is known, and never searched for. A walk
// ends where that is not enough.
//
// Agent thread only. Reads through the memory file: nothing can fault, and nobody notices. Whether
// the thread moved meanwhile is for the caller to find out. Memory: see stack_copy.h, call_sites.h.
#pragma once

#include <cstdint>

#include "collectors/call_sites.h"
#include "collectors/function_starts.h"
#include "collectors/process_memory.h"
#include "collectors/safe/unwind.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/stack_copy.h"

namespace sonde {

inline constexpr uint32_t kNothingInferred = UINT32_MAX;

struct OutsideWalk {
  uint32_t depth = 0;
  StackEnd end = StackEnd::kNoUnwindData;
  uint32_t inferred_from = kNothingInferred;  // the first frame that rests on a recovered rbp
  uint64_t not_built = 0;  // a pc whose table is built on demand, and was wanted; 0: none
};

class OutsideWalker {
 public:
  // Both outlive it. `starts` knows the code that is loaded.
  OutsideWalker(const ProcessMemory& memory, FunctionStarts* starts)
      : memory_(memory), starts_(starts), sites_(memory), stack_(memory) {}

  // frames_out[0] is pc, the others are return addresses. `index` stays valid during the call.
  // `rdi` is the first argument of the system call, or 0: libc's vfork keeps its return address
  // there, because its stack is the child's, too.
  OutsideWalk Walk(const UnwindIndex* index, uint64_t pc, uint64_t sp, uint64_t rdi,
                   uint64_t* frames_out, uint32_t max_frames);

 private:
  struct Frame {
    uint64_t after = 0;  // the return address; where the pc is exact, pc + 1
    uint64_t sp = 0;
    uint64_t rbp = 0;
    bool rbp_known = false;
    bool exact = false;      // the pc is no return address
    uint64_t registers = 0;  // where a signal frame has them; 0: nowhere
  };
  enum class Next { kFrame, kEnd, kNeedsRegister };
  struct Step {
    Next next;
    StackEnd end = StackEnd::kNoUnwindData;
  };
  struct Choice {
    int score = 0;
    Frame caller;
  };

  [[nodiscard]] UnwindRule RuleOf(const Frame& frame);
  Step Advance(const Frame& frame, Frame* caller);
  Step AdvanceSignal(const Frame& frame, Frame* caller);
  Step AdvanceByRule(const Frame& frame, const UnwindRule& rule, Frame* caller);
  Step Apply(const Frame& frame, const UnwindRule& rule, uint64_t base, Frame* caller);
  bool Base(const Frame& frame, const UnwindRule& rule, uint64_t* base);
  bool IsReturnAddress(uint64_t address);
  [[nodiscard]] bool IsGenerated(uint64_t address) const;
  bool LeaveLeaf(const Frame& frame, Frame* caller);
  bool RestoreRbp(const Frame& frame, const UnwindRule& rule, uint64_t cfa, Frame* caller);
  [[nodiscard]] bool IsInGo(const Frame& frame) const;
  Step AdvanceGo(const Frame& frame, Frame* caller);
  Step FollowGoChain(const Frame& frame, Frame* caller);
  bool LeaveGoLeaf(const Frame& frame, Frame* caller);
  bool IsGoFrame(bool chained, uint64_t saved, uint64_t return_address);
  CopiedStack CodeToLookAt();
  static bool ReadCode(void* walker, uint64_t address, void* out, size_t size);
  bool TakeFromNote(const Frame& frame, Frame* caller);
  bool Recover(const Frame& frame, Frame* caller);
  int ScoreOf(const Frame& callee, const Frame& caller);
  int MatchOf(const Frame& callee, const Frame& caller);

  const ProcessMemory& memory_;
  FunctionStarts* starts_;
  CallSites sites_;
  StackCopy stack_;
  const UnwindIndex* index_ = nullptr;
  uint64_t rdi_ = 0;
  uint64_t not_built_ = 0;
  bool exact_rbp_ = true;  // no value of rbp on this walk was searched for
};

}  // namespace sonde
