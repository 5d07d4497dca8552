// SPDX-License-Identifier: Apache-2.0
// Go's frames, from outside: the rules of StepGo in collectors/safe, with the one difference that
// rbp is mostly not known. Nothing is searched for here: in Go's stacks, which are not cleared when
// they are used again, old frames lie about in whole chains.
#include "collectors/safe/unwind_code.h"
#include "collectors/stack_from_outside.h"

namespace sonde {
namespace {

constexpr uint64_t kWord = 8;
constexpr uint64_t kLargestGoFrame = uint64_t{256} << 10;
constexpr uint64_t kLowestAddress = uint64_t{1} << 16;

}  // namespace

bool OutsideWalker::ReadCode(void* walker, uint64_t address, void* out, size_t size) {
  return static_cast<const OutsideWalker*>(walker)->memory_.Read(address, out, size);
}

// A "copied stack" of which only the code is asked for: the process's, through its memory file.
CopiedStack OutsideWalker::CodeToLookAt() {
  CopiedStack code;
  code.read_code = ReadCode;
  code.context = this;
  return code;
}

bool OutsideWalker::IsInGo(const Frame& frame) const {
  const UnwindModule* module = index_->Find(frame.after - 1);
  return module != nullptr && module->is_go;
}

// A call has to vouch for a frame, or the chain that it is in. Nothing has called the first
// function of a goroutine.
bool OutsideWalker::IsGoFrame(bool chained, uint64_t saved, uint64_t return_address) {
  if (index_->Find(return_address - 1) == nullptr) return false;
  if (chained || IsReturnAddress(return_address)) return true;
  const CopiedStack code = CodeToLookAt();
  return saved == 0 && GoPlaceOf(*index_, &code, return_address) == GoPlace::kGoroutineStart;
}

// What makes Go's system calls has no frame: its caller is on top of the stack, and the caller's
// frame pointer in the register that is not known.
bool OutsideWalker::LeaveGoLeaf(const Frame& frame, Frame* caller) {
  uint64_t address = 0;
  if (!stack_.ReadWord(frame.sp, &address) || !IsReturnAddress(address)) return false;
  *caller = frame;
  caller->exact = false;
  caller->registers = 0;
  caller->after = address;
  caller->sp = frame.sp + kWord;
  return true;
}

OutsideWalker::Step OutsideWalker::FollowGoChain(const Frame& frame, Frame* caller) {
  const uint64_t base = frame.rbp;
  const Step lost = {Next::kEnd, StackEnd::kNoUnwindData};
  if (base % kWord != 0 || base < kLowestAddress) return lost;
  const bool near = base >= frame.sp && base - frame.sp <= kLargestGoFrame;
  const CopiedStack code = CodeToLookAt();
  // The goroutine that the scheduler has left may run elsewhere by now.
  if (!near && GoPlaceOf(*index_, &code, frame.after) == GoPlace::kScheduler) {
    return {Next::kEnd, StackEnd::kRoot};
  }
  uint64_t saved = 0;
  uint64_t return_address = 0;
  if (!stack_.ReadWord(base, &saved) || !stack_.ReadWord(base + kWord, &return_address)) {
    return {Next::kEnd, StackEnd::kUnreadable};
  }
  const bool chained = near && saved > base && saved % kWord == 0;
  if (!IsGoFrame(chained, saved, return_address)) return lost;
  *caller = frame;
  caller->exact = false;
  caller->registers = 0;
  caller->after = return_address;
  caller->sp = base + 2 * kWord;
  caller->rbp = saved;
  return {Next::kFrame};
}

OutsideWalker::Step OutsideWalker::AdvanceGo(const Frame& frame, Frame* caller) {
  const Step lost = {Next::kEnd, StackEnd::kNoUnwindData};
  if (frame.exact) {
    const CopiedStack code = CodeToLookAt();
    if (!HasMadeFrame(*index_, &code, frame.after - 1)) {
      return LeaveGoLeaf(frame, caller) ? Step{Next::kFrame} : lost;
    }
  }
  if (!frame.rbp_known) return lost;
  if (frame.rbp == 0 && !frame.exact) return {Next::kEnd, StackEnd::kRoot};
  return FollowGoChain(frame, caller);
}

}  // namespace sonde
