// SPDX-License-Identifier: Apache-2.0
// FastSteps() takes the frames that nearly all frames are: rsp or rbp plus a constant, on a page
// that is known to be readable. Step() takes one frame of any kind, with every check, and decides
// how a walk ends. Each does the whole of its frame; they share only the state (unwind_walk.h).
#include "collectors/safe/unwind.h"

#include "collectors/safe/unwind_walk.h"

namespace sonde {
namespace {

// Code after an epilogue still finds rbp below rsp: the kernel leaves these bytes alone.
constexpr uint64_t kRedZone = 128;
// Offset of the general registers in ucontext_t: uc_flags, uc_link, uc_stack come before.
constexpr uint64_t kGregsInUcontext = 40;

// The end of what can be read from `page` on, within the next two pages. If the stack may reach
// into the second, one probe across their border vouches for both. Async-signal-safe.
__attribute__((noinline)) uint64_t ProbeUpward(const WalkState& walk, uint64_t page) {
  const uint64_t next = page + kPageSize;
  const uint64_t hint = walk.bounds->probable_end;
  const bool goes_on = walk.limit > next && (hint <= page || hint > next);
  if (goes_on && WordReadable(next - kWord / 2)) return next + kPageSize;
  return PageReadable(page) ? next : page;
}

// From a signal handler's return trampoline to the code that the signal interrupted. The stack may
// change here, in either direction; max_frames bounds a walk that is led in circles.
// Async-signal-safe.
bool StepSignal(WalkState& walk) {
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
bool LeadsToCall(WalkState& walk, const UnwindRule& rule, uint64_t value, uint64_t nearest) {
  const uint64_t cfa = value + static_cast<uint64_t>(int64_t{rule.offset});
  uint64_t return_address;
  if (cfa <= walk.sp || cfa >= nearest || cfa > walk.limit || cfa % kWord != 0) return false;
  return ReadWord(walk, cfa - kWord, &return_address) && InKnownCode(walk, return_address - 1) &&
         FollowsCall(walk, return_address);
}

// The register of a rule in a frame that is not the innermost: in practice rbx in the dynamic
// linker's resolver. Either no callee has changed it, or one has saved it below, and of what is
// there and could be it, it is what leads to the nearest frame. Async-signal-safe.
bool FindRegister(WalkState& walk, const UnwindRule& rule, uint64_t* value) {
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
bool ComputeCfa(WalkState& walk, const UnwindRule& rule, uint64_t* cfa) {
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
bool RestoreRbp(WalkState& walk, const UnwindRule& rule, uint64_t cfa) {
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
bool StepByRule(WalkState& walk, const UnwindRule& rule) {
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
const UnwindModule* FindModule(const WalkState& walk, uint64_t pc) {
  const UnwindModule* const module = walk.index->Find(pc);
  if (module == nullptr || !module->on_demand || walk.copy == nullptr) return module;
  const UnwindModule* const built = walk.copy->build(walk.copy->context, pc);
  return built != nullptr ? built : module;
}

// One frame of any kind. False: the walk has ended. Async-signal-safe.
__attribute__((noinline)) bool Step(WalkState& walk) {
  walk.module = FindModule(walk, walk.after - 1);
  if (walk.module == nullptr) ++walk.unknown_pcs;
  if (walk.module != nullptr && walk.module->on_demand) return StepBeforeTableIsBuilt(walk);
  if (walk.module == nullptr || walk.module->rows == nullptr) return StepWithoutRule(walk);
  return StepByRule(walk, RuleOf(*walk.module, walk.module->Find(walk.after)));
}

// Ordinary frames, until one is not, or frames is full. What the loop needs is in local variables,
// and what kind a row is decides a branch, not a value: a walk is one chain of dependent loads, and
// whatever comes between two of them is paid in full. Async-signal-safe.
inline void FastSteps(WalkState& walk) {
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
      const UnwindModule* const next = walk.index->Find(after - 1);
      if (next == nullptr || next->rows == nullptr) break;
      next->Touch();
      module = *next;
      size = module.high - module.low;
    }
    const UnwindRow* const found = module.FindRow(after);
    const UnwindRow row = *found;
    // From memory, not cut out of `row`: a cycle less between two loads.
    uint64_t value;
    asm("movzwl %1, %k0" : "=r"(value) : "m"(*found));
    uint64_t base = sp;
    if (RowCfa(row) != CfaKind::kRsp) {
      if (RowCfa(row) != CfaKind::kRbp || rbp % kWord != 0) break;
      base = rbp;
      asm("" : "+r"(base));  // keeps the branch a branch
    }
    const uint64_t cfa = base + value * kWord;
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
__attribute__((noinline)) bool IsPlantedStart(const WalkState& walk, uint64_t after) {
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
void FinishFiber(WalkState& walk) {
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
inline void Begin(WalkState& walk, const UnwindIndex* index, const Registers& registers,
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
WalkResult WithoutTables(const Registers& registers) {
  return {1, StackEnd::kNoUnwindData, /*unknown_pc=*/true, /*not_built=*/true, registers.gpr[kRip]};
}

// Async-signal-safe.
inline WalkResult Finish(WalkState& walk) {
  FinishFiber(walk);
  return {walk.depth, walk.end, walk.unknown_pcs != 0, walk.missing_pc != 0, walk.missing_pc};
}

}  // namespace

WalkResult WalkStack(const UnwindIndex* index, const Registers& registers,
                     const StackBounds& bounds, uint64_t* frames_out, uint32_t max_frames,
                     UnwindMisses* misses) {
  if (max_frames == 0) return {0, StackEnd::kDepthLimit};
  frames_out[0] = registers.gpr[kRip];
  if (index == nullptr) return WithoutTables(registers);
  WalkState walk;
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
  if (index == nullptr) return WithoutTables(registers);
  const StackBounds unknown;
  WalkState walk;
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
