// SPDX-License-Identifier: Apache-2.0
#include "collectors/stack_from_outside.h"

#include "collectors/wait_note_reader.h"

namespace sonde {
namespace {

constexpr uint64_t kWord = 8;
// Offset of the general registers in ucontext_t: uc_flags, uc_link, uc_stack come before.
constexpr uint64_t kGregsInUcontext = 40;
constexpr uint64_t kLargestFrame = uint64_t{8} << 20;
// How far up the search goes, and how much farther once it has something to fall back on.
constexpr uint64_t kReach = uint64_t{192} << 10;
constexpr uint64_t kFartherForBetter = 4096;
constexpr int kLongestChain = 128;

// What a candidate is worth. The first frame of the thread counts most, then that no call
// contradicts, then that the first call is known to be of this function.
constexpr int kReachesRoot = 1000;
constexpr int kContradiction = -10;
constexpr int kKnownCall = 2;
constexpr int kPossibleCall = 1;
constexpr int kPerfect = kReachesRoot + kKnownCall;
constexpr int kHopeless = kReachesRoot / 2;
// It may well be the caller, but leads to code of Go's that cannot be left: what lies farther up
// and reaches the root would leave out what is between.
constexpr int kLostInGo = -kReachesRoot;

// Code without tables keeps frame pointers, or cannot be walked.
constexpr UnwindRule kFramePointerRule = {.cfa = CfaKind::kRbp,
                                          .reg = kRbp,
                                          .rbp = RbpKind::kAtCfa,
                                          .offset = 16,
                                          .addend = 0,
                                          .rbp_offset = -16};

uint64_t Plus(uint64_t base, int32_t offset) {
  return base + static_cast<uint64_t>(int64_t{offset});
}

}  // namespace

UnwindRule OutsideWalker::RuleOf(const Frame& frame) {
  const UnwindModule* module = index_->Find(frame.after - 1);
  if (module != nullptr && module->on_demand) not_built_ = frame.after - 1;
  if (module == nullptr || module->rows == nullptr) return {};
  return module->RuleAt(frame.after);
}

bool OutsideWalker::Base(const Frame& frame, const UnwindRule& rule, uint64_t* base) {
  if (rule.reg == kRsp) {
    *base = frame.sp;
    return true;
  }
  if (rule.reg == kRbp) {
    *base = frame.rbp;
    return frame.rbp_known;
  }
  return frame.exact && frame.registers != 0 &&
         stack_.ReadWord(frame.registers + rule.reg * kWord, base);
}

bool OutsideWalker::RestoreRbp(const Frame& frame, const UnwindRule& rule, uint64_t cfa,
                               Frame* caller) {
  caller->rbp = frame.rbp;
  caller->rbp_known = frame.rbp_known;
  if (rule.rbp == RbpKind::kSame) return true;
  caller->rbp_known = rule.rbp == RbpKind::kAtCfa || frame.rbp_known;
  if (rule.rbp == RbpKind::kUndefined) caller->rbp_known = false;
  if (!caller->rbp_known) return true;
  const uint64_t from = rule.rbp == RbpKind::kAtCfa ? cfa : frame.rbp;
  return stack_.ReadWord(Plus(from, rule.rbp_offset), &caller->rbp);
}

OutsideWalker::Step OutsideWalker::Apply(const Frame& frame, const UnwindRule& rule, uint64_t base,
                                         Frame* caller) {
  uint64_t cfa = Plus(base, rule.offset);
  if (rule.cfa == CfaKind::kPlt) {
    const bool pushed = ((frame.after - 1) & 15) >= static_cast<uint64_t>(int64_t{rule.offset});
    cfa = frame.sp + kWord + (pushed ? kWord : 0);
  } else if (rule.cfa == CfaKind::kDeref) {
    if (!stack_.ReadWord(cfa, &cfa)) return {Next::kEnd, StackEnd::kUnreadable};
    cfa = Plus(cfa, rule.addend);
  }
  if (cfa <= frame.sp || cfa - frame.sp > kLargestFrame || cfa % kWord != 0) {
    return {Next::kEnd, StackEnd::kBadFrame};
  }
  uint64_t return_address = 0;
  if (!stack_.ReadWord(cfa - kWord, &return_address)) return {Next::kEnd, StackEnd::kUnreadable};
  if (return_address == 0) return {Next::kEnd, StackEnd::kRoot};
  if (!RestoreRbp(frame, rule, cfa, caller)) return {Next::kEnd, StackEnd::kUnreadable};
  caller->after = return_address;
  caller->sp = cfa;
  caller->exact = false;
  caller->registers = 0;
  return {Next::kFrame};
}

bool OutsideWalker::IsReturnAddress(uint64_t address) {
  return index_->Find(address - 1) != nullptr && sites_.Before(address).is_call;
}

// Code without a rule that a system call was made from: its return address is on top of the stack,
// or was taken off it.
bool OutsideWalker::LeaveLeaf(const Frame& frame, Frame* caller) {
  uint64_t address = 0;
  if (!frame.exact || frame.registers != 0) return false;
  *caller = frame;
  caller->exact = false;
  if (IsReturnAddress(rdi_)) {
    caller->after = rdi_;
    return true;
  }
  if (!stack_.ReadWord(frame.sp, &address) || !IsReturnAddress(address)) return false;
  caller->after = address;
  caller->sp = frame.sp + kWord;
  return true;
}

OutsideWalker::Step OutsideWalker::AdvanceSignal(const Frame& frame, Frame* caller) {
  const uint64_t registers = frame.sp + kGregsInUcontext;
  uint64_t pc = 0;
  const bool read = stack_.ReadWord(registers + kRip * kWord, &pc) &&
                    stack_.ReadWord(registers + kRsp * kWord, &caller->sp) &&
                    stack_.ReadWord(registers + kRbp * kWord, &caller->rbp);
  if (!read) return {Next::kEnd, StackEnd::kUnreadable};
  caller->after = pc + 1;
  caller->rbp_known = true;
  caller->exact = true;
  caller->registers = registers;
  return {Next::kFrame};
}

OutsideWalker::Step OutsideWalker::AdvanceByRule(const Frame& frame, const UnwindRule& rule,
                                                 Frame* caller) {
  uint64_t base = 0;
  if (!Base(frame, rule, &base)) return {Next::kNeedsRegister};
  const Step step = Apply(frame, rule, base, caller);
  if (step.next != Next::kFrame || rule != kFramePointerRule) return step;
  // rbp was believed without a table: let a call vouch for it.
  if (IsReturnAddress(caller->after)) return step;
  return exact_rbp_ && IsGenerated(caller->after) ? step
                                                  : Step{Next::kEnd, StackEnd::kNoUnwindData};
}

// Java's interpreter jumps into a method, having pushed where to go on: there is no call. Where rbp
// has come by tables alone, and both are code without tables, its chain is believed all the same.
bool OutsideWalker::IsGenerated(uint64_t address) const {
  const UnwindModule* module = index_->Find(address - 1);
  return module != nullptr && module->rows == nullptr && !module->on_demand;
}

OutsideWalker::Step OutsideWalker::Advance(const Frame& frame, Frame* caller) {
  const UnwindRule rule = RuleOf(frame);
  if (rule.cfa == CfaKind::kRoot) return {Next::kEnd, StackEnd::kRoot};
  if (rule.cfa == CfaKind::kSignal) return AdvanceSignal(frame, caller);
  if (rule.cfa != CfaKind::kNone) return AdvanceByRule(frame, rule, caller);
  if (IsInGo(frame)) return AdvanceGo(frame, caller);
  if (LeaveLeaf(frame, caller)) return {Next::kFrame};
  return AdvanceByRule(frame, kFramePointerRule, caller);
}

// Whether the call before `caller` is one of the function that `callee` is in.
int OutsideWalker::MatchOf(const Frame& callee, const Frame& caller) {
  const uint64_t target = sites_.Before(caller.after).target;
  const uint64_t start = starts_->StartOf(callee.after - 1);
  if (target == 0 || start == 0) return kPossibleCall;
  return target == start ? kKnownCall : kContradiction;
}

// Follows the chain that begins with `caller` to its end. Tail calls contradict, too, so that is no
// reason to give up. What leaves Go's code has been looked at already.
int OutsideWalker::ScoreOf(const Frame& callee, const Frame& caller) {
  int score = MatchOf(callee, caller);
  Frame at = caller;
  for (int i = 0; i < kLongestChain; ++i) {
    Frame next;
    const Step step = Advance(at, &next);
    if (step.next == Next::kNeedsRegister) return score - kHopeless;
    if (step.next == Next::kEnd) {
      if (step.end == StackEnd::kRoot) return score + kReachesRoot;
      return IsInGo(at) && score > 0 ? kLostInGo : score;
    }
    if (!next.exact && !IsInGo(at)) {
      if (!IsReturnAddress(next.after)) return score - kHopeless;
      if (MatchOf(at, next) < 0) score += kContradiction;
    }
    at = next;
  }
  return score;
}

// The hook's caller is next then, and what lies between is left out.
bool OutsideWalker::TakeFromNote(const Frame& frame, Frame* caller) {
  const auto note = FindWaitNote(frame.sp, [this](uint64_t address, uint64_t* value) {
    return stack_.ReadWord(address, value);
  });
  if (!note) return false;
  *caller = {};
  caller->after = note->caller.return_address;
  caller->sp = note->caller.stack_pointer;
  caller->rbp = note->caller.frame_pointer;
  caller->rbp_known = true;
  return true;
}

bool OutsideWalker::Recover(const Frame& frame, Frame* caller) {
  UnwindRule rule = RuleOf(frame);
  if (rule.cfa == CfaKind::kNone) {
    if (frame.exact) return false;  // hand-written code: it need not have a frame
    rule = kFramePointerRule;
  }
  Choice best;
  uint64_t limit = frame.sp + kReach;
  for (uint64_t base = frame.sp; base < limit; base += kWord) {
    Frame with = frame;
    if (rule.reg == kRbp) {
      with.rbp = base;
      with.rbp_known = true;
    }
    uint64_t probe = 0;
    if (!stack_.ReadWord(base, &probe)) break;
    Frame candidate;
    if (Apply(with, rule, base, &candidate).next != Next::kFrame) continue;
    if (!IsReturnAddress(candidate.after)) continue;
    const int score = ScoreOf(frame, candidate);
    if (score == kLostInGo) break;
    if (score <= best.score) continue;
    best = {score, candidate};
    if (score >= kPerfect) break;
    if (score > kHopeless && base + kFartherForBetter < limit) limit = base + kFartherForBetter;
  }
  *caller = best.caller;
  return best.score > 0;
}

OutsideWalk OutsideWalker::Walk(const UnwindIndex* index, uint64_t pc, uint64_t sp, uint64_t rdi,
                                uint64_t* frames_out, uint32_t max_frames) {
  OutsideWalk walk;
  if (max_frames == 0) return walk;
  frames_out[walk.depth++] = pc;
  if (index == nullptr) return walk;
  index_ = index;
  rdi_ = rdi;
  not_built_ = 0;
  stack_.Clear();
  Frame frame;
  frame.after = pc + 1;
  frame.sp = sp;
  frame.exact = true;
  walk.end = StackEnd::kDepthLimit;
  exact_rbp_ = true;
  while (walk.depth < max_frames) {
    Frame caller;
    const Step step = Advance(frame, &caller);
    if (step.next == Next::kEnd) {
      walk.end = step.end;
      break;
    }
    if (step.next == Next::kNeedsRegister && !TakeFromNote(frame, &caller)) {
      exact_rbp_ = false;
      if (!Recover(frame, &caller)) {
        walk.end = StackEnd::kNoUnwindData;
        break;
      }
      if (walk.inferred_from == kNothingInferred) walk.inferred_from = walk.depth;
    }
    frames_out[walk.depth++] = caller.after;
    frame = caller;
  }
  walk.not_built = not_built_;
  return walk;
}

}  // namespace sonde
