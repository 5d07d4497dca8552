// SPDX-License-Identifier: Apache-2.0
// FastSteps() takes the frames that nearly all frames are: rsp or rbp plus a constant, on a page
// that is known to be readable. Step() takes one frame of any kind, with every check, and decides
// how a walk ends. Each does the whole of its frame; they share only the state in Walk.
#include "collectors/safe/unwind.h"

#include "collectors/safe/unwind_code.h"
#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uint64_t kPageSize = kProbePageSize;
constexpr uint64_t kWord = 8;
// Code after an epilogue still finds rbp below rsp: the kernel leaves these bytes alone.
constexpr uint64_t kRedZone = 128;
// A larger frame is rather another stack, that of the fiber's creator.
constexpr uint64_t kLargestFrame = uint64_t{256} << 10;
// Where a process may have code.
constexpr uint64_t kLowestCode = uint64_t{1} << 16;
constexpr uint64_t kHighestCode = uint64_t{1} << 47;
constexpr uint64_t kNoLimit = ~uint64_t{0} & ~(kWord - 1);
// Offset of the general registers in ucontext_t: uc_flags, uc_link, uc_stack come before.
constexpr uint64_t kGregsInUcontext = 40;

struct Walk {
  const UnwindIndex* index;
  const UnwindModule* module;  // that of the last look-up, or null
  uint64_t* frames;
  uint32_t depth;
  uint32_t max_frames;
  uint64_t after;  // the return address; where the pc is exact, pc + 1
  uint64_t sp;
  uint64_t rbp;
  uint64_t readable_low;  // [readable_low, readable_high) was seen to be readable in this walk
  uint64_t readable_high;
  const StackBounds* bounds;
  uint64_t limit;       // end of this stack
  uint64_t gregs;       // address of the registers of the last frame that all are known of
  bool gregs_on_stack;  // they are a signal frame's, on memory that has to be checked
  bool exact;  // this is that frame: every register counts, and the pc is no return address
  StackEnd end;
  uint32_t unknown_pcs;
  uint64_t missing_pc;  // the first whose table is not built; 0: none
  UnwindMisses* misses;
  const CopiedStack* copy;  // null: the walk reads memory itself
};

// For addresses on pages that were found readable. Async-signal-safe.
inline uint64_t Load(uint64_t address) { return *reinterpret_cast<const uint64_t*>(address); }

// Async-signal-safe.
inline uint64_t LoadFromCopy(const CopiedStack& copy, uint64_t address) {
  return Load(reinterpret_cast<uint64_t>(copy.bytes) + (address - copy.low));
}

// The end of what can be read from `page` on, within the next two pages. If the stack may reach
// into the second, one probe across their border vouches for both. Async-signal-safe.
__attribute__((noinline)) uint64_t ProbeUpward(const Walk& walk, uint64_t page) {
  const uint64_t next = page + kPageSize;
  const uint64_t hint = walk.bounds->probable_end;
  const bool goes_on = walk.limit > next && (hint <= page || hint > next);
  if (goes_on && WordReadable(next - kWord / 2)) return next + kPageSize;
  return PageReadable(page) ? next : page;
}

// Makes the page of `address` part of the readable window. Async-signal-safe.
bool MakeReadable(Walk& walk, uint64_t address) {
  const uint64_t page = address & ~(kPageSize - 1);
  if (!PageReadable(page)) return false;
  if (page == walk.readable_high) {
    walk.readable_high = page + kPageSize;
  } else if (page + kPageSize == walk.readable_low) {
    walk.readable_low = page;
  } else {
    walk.readable_low = page;
    walk.readable_high = page + kPageSize;
  }
  return true;
}

// Reads an aligned word of stack, or sets the walk's end. Async-signal-safe.
bool ReadWord(Walk& walk, uint64_t address, uint64_t* value) {
  if (address % kWord != 0) {
    walk.end = StackEnd::kBadFrame;
    return false;
  }
  if (address < walk.readable_low || address >= walk.readable_high) {
    if (walk.copy != nullptr || !MakeReadable(walk, address)) {
      walk.end = StackEnd::kUnreadable;
      return false;
    }
  }
  *value = walk.copy == nullptr ? Load(address) : LoadFromCopy(*walk.copy, address);
  return true;
}

// Async-signal-safe.
bool ReadGreg(Walk& walk, unsigned reg, uint64_t* value) {
  const uint64_t address = walk.gregs + reg * kWord;
  if (walk.gregs_on_stack) return ReadWord(walk, address, value);
  *value = Load(address);
  return true;
}

// The end of the stack that sp is on, as far as it is known. Async-signal-safe.
uint64_t LimitOf(const StackBounds& bounds, uint64_t sp) {
  const bool inside = sp >= bounds.low && sp < bounds.high;
  return inside ? bounds.high & ~(kWord - 1) : kNoLimit;
}

// Async-signal-safe.
void GoTo(Walk& walk, uint64_t return_address, uint64_t sp) {
  walk.frames[walk.depth++] = return_address;
  walk.after = return_address;
  walk.sp = sp;
  walk.exact = false;
  walk.end = StackEnd::kDepthLimit;  // if no other way is found to end
}

// Async-signal-safe.
bool End(Walk& walk, StackEnd end) {
  walk.end = end;
  return false;
}

// Async-signal-safe.
bool InKnownCode(const Walk& walk, uint64_t pc) { return walk.index->Find(pc) != nullptr; }

// Async-signal-safe.
bool FollowsCall(const Walk& walk, uint64_t address) {
  return FollowsCall(*walk.index, walk.copy, address);
}

// Whether the word at `slot` is a return address: code is known before it that ends in a call.
// Async-signal-safe.
bool IsReturnAddress(Walk& walk, uint64_t slot, uint64_t* value) {
  return ReadWord(walk, slot, value) && InKnownCode(walk, *value - 1) && FollowsCall(walk, *value);
}

// Where frame 0 in code without rules has its return address if it has no frame: it may not have
// touched its stack yet (or a call to nowhere has led here), or only just pushed the caller's rbp.
// 0: not there. Async-signal-safe.
uint64_t ReturnSlotOfLeaf(Walk& walk) {
  if (walk.sp % kWord != 0) return 0;
  uint64_t value;
  if (IsReturnAddress(walk, walk.sp, &value)) return walk.sp;
  if (!ReadWord(walk, walk.sp, &value) || value != walk.rbp) return 0;
  return IsReturnAddress(walk, walk.sp + kWord, &value) ? walk.sp + kWord : 0;
}

// Async-signal-safe.
bool IsChained(const Walk& walk, uint64_t frame, uint64_t saved) {
  return saved > frame && saved % kWord == 0 && saved < walk.limit - kWord;
}

// Whether the frames that `frame` is chained to come to a return address in known code. Code that
// was compiled since the index was made is believed between two that are known. Not inlined: the
// room of its callers is needed below them. Async-signal-safe.
__attribute__((noinline)) bool LeadsToKnownCode(Walk& walk, uint64_t frame) {
  constexpr int kFarthest = 32;
  for (int i = 0; i < kFarthest; ++i) {
    uint64_t saved, return_address;
    if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) break;
    if (InKnownCode(walk, return_address - 1)) return FollowsCall(walk, return_address);
    if (!IsChained(walk, frame, saved) || saved - frame > kLargestFrame) break;
    frame = saved;
  }
  return false;
}

// A caller that keeps no frame pointer has anything in rbp: then the call before the return address
// has to vouch for the frame. Async-signal-safe.
bool IsFrame(Walk& walk, uint64_t frame, uint64_t saved, uint64_t return_address) {
  const bool chained = IsChained(walk, frame, saved);
  if (InKnownCode(walk, return_address - 1)) return chained || FollowsCall(walk, return_address);
  if (!chained || return_address - kLowestCode >= kHighestCode - kLowestCode) return false;
  ++walk.unknown_pcs;
  return LeadsToKnownCode(walk, saved);
}

// From the first instruction of what Go makes an interrupted goroutine call. Async-signal-safe.
bool StepGoPreemption(Walk& walk) {
  uint64_t interrupted;
  if (!walk.exact || !IsGoPreemption(*walk.index, walk.copy, walk.after - 1)) return false;
  if (!ReadWord(walk, walk.sp, &interrupted) || !InKnownCode(walk, interrupted)) return false;
  GoTo(walk, interrupted + 1, walk.sp + kWord);
  return true;
}

// Whether a frame of Go's is one: a call has to vouch for it, or the chain that it is in. Nothing
// has called the first function of a goroutine. Async-signal-safe.
bool IsGoFrame(Walk& walk, bool chained, uint64_t saved, uint64_t return_address) {
  if (!InKnownCode(walk, return_address - 1)) return false;
  if (chained || FollowsCall(walk, return_address)) return true;
  return saved == 0 &&
         GoPlaceOf(*walk.index, walk.copy, return_address) == GoPlace::kGoroutineStart;
}

// Go's code changes stacks in the middle of a chain, to a thread's for calls of C and of its own
// runtime and back to a goroutine's, which lie anywhere; max_frames bounds a walk that is led in
// circles. A chain ends with 0, in the function that a goroutine or a thread starts in. What the
// scheduler runs on its own stack is not the goroutine's that left it there. Async-signal-safe.
__attribute__((noinline)) bool StepGo(Walk& walk) {
  const uint64_t frame = walk.rbp;
  if (StepGoPreemption(walk)) return true;
  if (frame == 0 && !walk.exact) return End(walk, StackEnd::kRoot);
  if (frame % kWord != 0 || frame < kLowestCode) return End(walk, StackEnd::kNoUnwindData);
  const bool near = frame >= walk.sp && frame - walk.sp <= kLargestFrame;
  if (!near && GoPlaceOf(*walk.index, walk.copy, walk.after) == GoPlace::kScheduler) {
    return End(walk, StackEnd::kRoot);
  }
  uint64_t saved, return_address;
  if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) {
    return false;
  }
  const bool chained = near && IsChained(walk, frame, saved);
  if (!IsGoFrame(walk, chained, saved, return_address)) return End(walk, StackEnd::kNoUnwindData);
  if (!near) walk.limit = LimitOf(*walk.bounds, frame);
  walk.rbp = saved;
  GoTo(walk, return_address, frame + 2 * kWord);
  return true;
}

// Async-signal-safe.
bool IsInGo(const Walk& walk) {
  const UnwindModule* module = walk.index->Find(walk.after - 1);
  return module != nullptr && module->is_go;
}

// Async-signal-safe.
bool StepFramePointer(Walk& walk) {
  if (IsInGo(walk)) return StepGo(walk);
  const uint64_t frame = walk.rbp;
  if (frame < walk.sp || frame - walk.sp > kLargestFrame || frame >= walk.limit - kWord ||
      frame % kWord != 0) {
    return End(walk, StackEnd::kNoUnwindData);
  }
  uint64_t saved, return_address;
  if (!ReadWord(walk, frame, &saved) || !ReadWord(walk, frame + kWord, &return_address)) {
    return false;
  }
  if (return_address == 0) return End(walk, StackEnd::kRoot);
  if (!IsFrame(walk, frame, saved, return_address)) return End(walk, StackEnd::kNoUnwindData);
  walk.rbp = saved;
  GoTo(walk, return_address, frame + 2 * kWord);
  return true;
}

// A frame keeps what older calls have left in it, also return addresses, and one of them may lie at
// rsp: so a function that has made a frame is left by its frame pointer. Async-signal-safe.
bool StepWithoutRule(Walk& walk) {
  const uint64_t slot = walk.exact ? ReturnSlotOfLeaf(walk) : 0;
  if (slot == 0) return StepFramePointer(walk);
  if (HasMadeFrame(*walk.index, walk.copy, walk.after - 1) && StepFramePointer(walk)) return true;
  uint64_t return_address;
  if (!ReadWord(walk, slot, &return_address)) return false;
  GoTo(walk, return_address, slot + kWord);
  return true;
}

// A walk that is cut sees one missing table; its callers' are asked for in one go, by what looks
// like their return addresses. A wrong guess costs the builder a chunk that nobody uses.
// Async-signal-safe.
__attribute__((noinline)) void AskForCallers(Walk& walk) {
  constexpr uint64_t kReach = 4096;
  const StackEnd end = walk.end;
  const uint64_t from = (walk.sp + kWord - 1) & ~(kWord - 1);
  for (uint64_t slot = from; slot - from < kReach && slot < walk.limit; slot += kWord) {
    uint64_t value;
    if (!ReadWord(walk, slot, &value)) break;
    const UnwindModule* module = walk.index->Find(value - 1);
    if (module == nullptr || !module->on_demand || !FollowsCall(walk, value)) continue;
    walk.misses->Ask(value - 1);
  }
  walk.end = end;
}

// Asks for the table, and goes on as far as that is possible without. Async-signal-safe.
bool StepBeforeTableIsBuilt(Walk& walk) {
  if (walk.missing_pc == 0) walk.missing_pc = walk.after - 1;
  if (walk.misses != nullptr) walk.misses->Ask(walk.after - 1);
  if (StepWithoutRule(walk)) return true;
  if (walk.end == StackEnd::kNoUnwindData) walk.end = StackEnd::kTableNotBuilt;
  if (walk.misses != nullptr) AskForCallers(walk);
  return false;
}

// From a signal handler's return trampoline to the code that the signal interrupted. The stack may
// change here, in either direction; max_frames bounds a walk that is led in circles.
// Async-signal-safe.
bool StepSignal(Walk& walk) {
  walk.gregs = walk.sp + kGregsInUcontext;
  walk.gregs_on_stack = true;
  walk.exact = true;
  uint64_t pc, sp, rbp;
  if (!ReadGreg(walk, kRip, &pc) || !ReadGreg(walk, kRsp, &sp) || !ReadGreg(walk, kRbp, &rbp)) {
    return false;
  }
  walk.frames[walk.depth++] = pc + 1;
  walk.after = pc + 1;
  walk.sp = sp;
  walk.rbp = rbp;
  walk.limit = LimitOf(*walk.bounds, sp);
  return true;
}

// Whether reg = `value` makes a frame that was called, nearer than `nearest`. Async-signal-safe.
bool LeadsToCall(Walk& walk, const UnwindRule& rule, uint64_t value, uint64_t nearest) {
  const uint64_t cfa = value + static_cast<uint64_t>(int64_t{rule.offset});
  uint64_t return_address;
  if (cfa <= walk.sp || cfa >= nearest || cfa > walk.limit || cfa % kWord != 0) return false;
  return ReadWord(walk, cfa - kWord, &return_address) && InKnownCode(walk, return_address - 1) &&
         FollowsCall(walk, return_address);
}

// The register of a rule in a frame that is not the innermost: in practice rbx in the dynamic
// linker's resolver. Either no callee has changed it, or one has saved it below, and of what is
// there and could be it, it is what leads to the nearest frame. Async-signal-safe.
bool FindRegister(Walk& walk, const UnwindRule& rule, uint64_t* value) {
  constexpr uint64_t kFarthest = 4096;
  const auto offset = static_cast<uint64_t>(int64_t{rule.offset});
  const uint64_t none = walk.sp + kFarthest;
  uint64_t nearest = none, bottom, candidate;
  if (rule.cfa != CfaKind::kRegister) return End(walk, StackEnd::kNoUnwindData);
  if (!ReadGreg(walk, rule.reg, &candidate) || !ReadGreg(walk, kRsp, &bottom)) return false;
  if (LeadsToCall(walk, rule, candidate, nearest)) nearest = candidate + offset;
  const uint64_t lowest = bottom > walk.sp - kFarthest ? bottom : walk.sp - kFarthest;
  for (uint64_t slot = walk.sp - kWord; slot >= lowest; slot -= kWord) {
    if (!ReadWord(walk, slot, &candidate)) return false;
    if (LeadsToCall(walk, rule, candidate, nearest)) nearest = candidate + offset;
  }
  if (nearest == none) return End(walk, StackEnd::kNoUnwindData);
  *value = nearest - offset;
  return true;
}

// Async-signal-safe.
bool ComputeCfa(Walk& walk, const UnwindRule& rule, uint64_t* cfa) {
  const auto offset = static_cast<uint64_t>(int64_t{rule.offset});
  const auto addend = static_cast<uint64_t>(int64_t{rule.addend});
  uint64_t base = rule.reg == kRbp ? walk.rbp : walk.sp;
  if (rule.reg != kRbp && rule.reg != kRsp) {
    if (walk.exact ? !ReadGreg(walk, rule.reg, &base) : !FindRegister(walk, rule, &base))
      return false;
  }
  if (rule.cfa == CfaKind::kPlt) {
    *cfa = walk.sp + kWord + (((walk.after - 1) & 15) >= offset ? kWord : 0);
    return true;
  }
  *cfa = base + offset;
  if (rule.cfa != CfaKind::kDeref) return true;
  if (!ReadWord(walk, *cfa, cfa)) return false;
  *cfa += addend;
  return true;
}

// Async-signal-safe.
bool RestoreRbp(Walk& walk, const UnwindRule& rule, uint64_t cfa) {
  if (rule.rbp == RbpKind::kSame) return true;
  if (rule.rbp == RbpKind::kUndefined) {
    walk.rbp = 0;
    return true;
  }
  const uint64_t base = rule.rbp == RbpKind::kAtCfa ? cfa : walk.rbp;
  const uint64_t slot = base + static_cast<uint64_t>(int64_t{rule.rbp_offset});
  if (slot < walk.sp - kRedZone || slot >= walk.limit) return End(walk, StackEnd::kBadFrame);
  return ReadWord(walk, slot, &walk.rbp);
}

// Async-signal-safe.
bool StepByRule(Walk& walk, const UnwindRule& rule) {
  if (rule.cfa == CfaKind::kRoot) return End(walk, StackEnd::kRoot);
  if (rule.cfa == CfaKind::kNone) return StepWithoutRule(walk);
  if (rule.cfa == CfaKind::kSignal) return StepSignal(walk);
  uint64_t cfa, return_address;
  if (!ComputeCfa(walk, rule, &cfa)) return false;
  if (cfa <= walk.sp || cfa > walk.limit || cfa % kWord != 0) {
    return End(walk, StackEnd::kBadFrame);
  }
  if (!ReadWord(walk, cfa - kWord, &return_address)) return false;
  if (return_address == 0) return End(walk, StackEnd::kRoot);
  if (!RestoreRbp(walk, rule, cfa)) return false;
  GoTo(walk, return_address, cfa);
  return true;
}

// Async-signal-safe.
UnwindRule RuleOf(const UnwindTable& module, UnwindRow row) {
  UnwindRule rule;
  rule.cfa = RowCfa(row);
  if (rule.cfa == CfaKind::kWide) return module.rules[RowValue(row)];
  if (rule.cfa == CfaKind::kRbp) rule.reg = kRbp;
  rule.offset = static_cast<int32_t>(RowValue(row) * kWord);
  if (RowRbp(row) != 0) {
    rule.rbp = RbpKind::kAtCfa;
    rule.rbp_offset = -static_cast<int32_t>((RowRbp(row) + 1) * kWord);
  }
  return rule;
}

// The range of code that `pc` is in, with its table if one can be had. Async-signal-safe.
const UnwindModule* FindModule(const Walk& walk, uint64_t pc) {
  const UnwindModule* const module = walk.index->Find(pc);
  if (module == nullptr || !module->on_demand || walk.copy == nullptr) return module;
  const UnwindModule* const built = walk.copy->build(walk.copy->context, pc);
  return built != nullptr ? built : module;
}

// One frame of any kind. False: the walk has ended. Async-signal-safe.
__attribute__((noinline)) bool Step(Walk& walk) {
  walk.module = FindModule(walk, walk.after - 1);
  if (walk.module == nullptr) ++walk.unknown_pcs;
  if (walk.module != nullptr && walk.module->on_demand) return StepBeforeTableIsBuilt(walk);
  if (walk.module == nullptr || walk.module->rows == nullptr) return StepWithoutRule(walk);
  return StepByRule(walk, RuleOf(*walk.module, walk.module->Find(walk.after)));
}

// Ordinary frames, until one is not, or frames is full. What the loop needs is in local variables,
// and what kind a row is decides a branch, not a value: a walk is one chain of dependent loads, and
// whatever comes between two of them is paid in full. Async-signal-safe.
inline void FastSteps(Walk& walk) {
  if (walk.module == nullptr || walk.module->rows == nullptr) return;
  const uint64_t low = walk.readable_low;
  uint64_t high = walk.readable_high;
  uint64_t top = high < walk.limit ? high : walk.limit;
  uint64_t after = walk.after, sp = walk.sp, rbp = walk.rbp;
  if (sp < low || sp >= high || sp % kWord != 0) return;
  walk.module->Touch();
  UnwindTable module = *walk.module;
  uint64_t size = module.high - module.low;
  uint64_t* out = walk.frames + walk.depth;
  uint64_t* const out_end = walk.frames + walk.max_frames;
  while (out != out_end) {
    if (__builtin_expect(after - 1 - module.low >= size, 0)) {
      const UnwindModule* found = walk.index->Find(after - 1);
      if (found == nullptr || found->rows == nullptr) break;
      found->Touch();
      module = *found;
      size = module.high - module.low;
    }
    const UnwindRow row = module.Find(after);
    uint64_t base = sp;
    if (RowCfa(row) != CfaKind::kRsp) {
      if (RowCfa(row) != CfaKind::kRbp || rbp % kWord != 0) break;
      base = rbp;
      asm("" : "+r"(base));  // keeps the branch a branch
    }
    const uint64_t cfa = base + RowValue(row) * kWord;
    if (__builtin_expect(cfa > top, 0)) {
      if (cfa > walk.limit || cfa > high + kPageSize) break;
      high = ProbeUpward(walk, high);
      top = high < walk.limit ? high : walk.limit;
      if (cfa > top) break;
    }
    if (cfa <= sp) break;
    const uint64_t return_address = Load(cfa - kWord);
    if (return_address == 0) break;
    if (RowRbp(row) != 0) {
      const uint64_t slot = cfa - (RowRbp(row) + 1) * kWord;
      if (slot < low) break;
      rbp = Load(slot);
    }
    *out++ = return_address;
    after = return_address;
    sp = cfa;
  }
  const auto depth = static_cast<uint32_t>(out - walk.frames);
  walk.readable_high = high;
  if (depth == walk.depth) return;
  walk.exact = false;
  walk.depth = depth;
  walk.after = after;
  walk.sp = sp;
  walk.rbp = rbp;
}

// Nothing has called the first function of a fiber. Who makes the fiber plants what it is to return
// to. glibc's makecontext plants the first byte of a function, which no call ends before.
// Async-signal-safe.
__attribute__((noinline)) bool IsPlantedStart(const Walk& walk, uint64_t after) {
  constexpr UnwindRow kAtEntry = 1;  // rsp + 8, and rbp is the caller's
  static_assert(static_cast<UnwindRow>(CfaKind::kRsp) << kRowCfaShift == 0);
  const UnwindModule* module = FindModule(walk, after);
  if (module == nullptr || module->rows == nullptr) return false;
  const UnwindRow rule = module->Find(after + 1) & ((1u << 24) - 1);
  return rule == kAtEntry && !FollowsCall(walk, after);
}

// A walk that has come to the first function of a fiber is at its root, however it ended: without a
// rule, or in what the fiber's maker put next to the planted address, which passed for a caller
// because the byte before passed for the end of another function. boost.context plants the same
// address in rbp. Async-signal-safe.
void FinishFiber(Walk& walk) {
  if (walk.exact || walk.depth < 2 || walk.end == StackEnd::kDepthLimit) return;
  uint64_t* const last = &walk.frames[walk.depth - 1];
  if (IsPlantedStart(walk, *last)) {
    ++*last;  // to be found at its address - 1, as every caller
    walk.end = StackEnd::kRoot;
  } else if (walk.end == StackEnd::kNoUnwindData && walk.rbp == *last) {
    walk.end = StackEnd::kRoot;
  } else if (walk.depth > 2 && walk.end != StackEnd::kRoot && !InKnownCode(walk, *last - 1) &&
             IsPlantedStart(walk, last[-1])) {
    ++last[-1];
    --walk.depth;
    --walk.unknown_pcs;
    walk.end = StackEnd::kRoot;
  }
}

// The walk at its first frame. Async-signal-safe.
inline void Begin(Walk& walk, const UnwindIndex* index, const Registers& registers,
                  uint64_t* frames_out, uint32_t max_frames) {
  walk.index = index;
  walk.module = index->Find(registers.gpr[kRip]);
  walk.frames = frames_out;
  walk.depth = 1;
  walk.max_frames = max_frames;
  walk.after = registers.gpr[kRip] + 1;
  walk.sp = registers.gpr[kRsp];
  walk.rbp = registers.gpr[kRbp];
  walk.gregs = reinterpret_cast<uint64_t>(registers.gpr);
  walk.gregs_on_stack = false;
  walk.exact = true;
  walk.end = StackEnd::kDepthLimit;
  walk.unknown_pcs = 0;
  walk.missing_pc = 0;
  walk.misses = nullptr;
  walk.copy = nullptr;
}

// Async-signal-safe.
inline WalkResult Finish(Walk& walk) {
  FinishFiber(walk);
  return {walk.depth, walk.end, walk.unknown_pcs != 0, walk.missing_pc != 0, walk.missing_pc};
}

}  // namespace

WalkResult WalkStack(const UnwindIndex* index, const Registers& registers,
                     const StackBounds& bounds, uint64_t* frames_out, uint32_t max_frames,
                     UnwindMisses* misses) {
  if (max_frames == 0) return {0, StackEnd::kDepthLimit};
  frames_out[0] = registers.gpr[kRip];
  if (index == nullptr) return {1, StackEnd::kNoUnwindData, /*unknown_pc=*/true};
  Walk walk;
  Begin(walk, index, registers, frames_out, max_frames);
  const uint64_t own = reinterpret_cast<uint64_t>(&walk);
  walk.readable_low = (bounds.written != 0 ? bounds.written : own) & ~(kPageSize - 1);
  walk.readable_high = walk.readable_low + kPageSize;
  if (bounds.readable && walk.sp >= bounds.low && walk.sp < bounds.high) {
    walk.readable_low = walk.sp & ~(kPageSize - 1);
    walk.readable_high = bounds.high & ~(kPageSize - 1);
  }
  walk.bounds = &bounds;
  walk.limit = LimitOf(bounds, walk.sp);
  walk.misses = misses;
  do {
    FastSteps(walk);
  } while (walk.depth < max_frames && Step(walk));
  return Finish(walk);
}

WalkResult WalkStack(UnwindPublication& publication, const Registers& registers,
                     const StackBounds& bounds, uint64_t* frames_out, uint32_t max_frames,
                     WhenMissing when_missing) {
  const UnwindPublication::Reader reader(publication);
  UnwindMisses* const misses = when_missing == WhenMissing::kAsk ? &publication.misses() : nullptr;
  const WalkResult result =
      WalkStack(reader.index(), registers, bounds, frames_out, max_frames, misses);
  if (result.unknown_pc) publication.NoteUnknownPc();
  if (result.not_built && misses != nullptr) misses->CountWalk();
  return result;
}

// Cold path only. Every frame is taken by Step: FastSteps reads memory where it lies.
WalkResult WalkCopiedStack(const UnwindIndex* index, const Registers& registers,
                           const CopiedStack& copy, uint64_t* frames_out, uint32_t max_frames) {
  if (max_frames == 0) return {0, StackEnd::kDepthLimit};
  frames_out[0] = registers.gpr[kRip];
  if (index == nullptr) return {1, StackEnd::kNoUnwindData, /*unknown_pc=*/true};
  const StackBounds unknown;
  Walk walk;
  Begin(walk, index, registers, frames_out, max_frames);
  walk.readable_low = copy.low;
  walk.readable_high = copy.high;
  walk.bounds = &unknown;
  walk.limit = kNoLimit;
  walk.copy = &copy;
  while (walk.depth < max_frames && Step(walk)) {
  }
  return Finish(walk);
}

}  // namespace sonde
