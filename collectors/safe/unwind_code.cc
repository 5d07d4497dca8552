// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/unwind_code.h"

#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = kProbePageSize;
constexpr uint32_t kLongestCall = 7;
// push %rbp; mov %rsp,%rbp, the move in either of its encodings; Go: lea …(%rsp),%rbp.
constexpr uint64_t kPrologueBytes = 4;

enum class Found : uint8_t { kNothing, kPrologue, kBoundary };

// Whether these bytes end in a call: the last byte of one with a 32-bit target is 4 bytes after its
// opcode e8; an indirect one is ff /2. Async-signal-safe.
bool EndInCall(const uint8_t* code) {
  if (code[2] == 0xe8) return true;
  for (unsigned i : {0u, 1u, 3u, 4u, 5u}) {  // lengths 7, 6, 4, 3, 2
    if (code[i] == 0xff && (code[i + 1] & 0x38) == 0x10) return true;
  }
  return code[1] == 0xff && (code[2] & 0x38) == 0x10;
}

// Async-signal-safe.
bool IsPrologue(const uint8_t* code) {
  if (code[0] == 0x48 && code[1] == 0x8d)
    return (code[2] == 0x6c || code[2] == 0xac) && code[3] == 0x24;
  return code[0] == 0x55 && code[1] == 0x48 &&
         ((code[2] == 0x89 && code[3] == 0xe5) || (code[2] == 0x8b && code[3] == 0xec));
}

// What assemblers and JIT compilers put between two functions: int3, or a ret and padding that
// nothing but the next function follows. Async-signal-safe.
bool IsBoundary(const uint8_t* code) {
  if (code[0] == 0xcc) return code[1] == 0xcc;
  const bool padding = code[1] == 0xcc || code[1] == 0x90 || (code[1] == 0x66 && code[2] == 0x90) ||
                       (code[1] == 0x0f && code[2] == 0x1f);
  return code[0] == 0xc3 && padding;
}

// The last prologue or boundary that lies whole in the `size` bytes. Async-signal-safe.
Found ScanBack(const uint8_t* code, uint64_t size) {
  if (size < kPrologueBytes) return Found::kNothing;
  const uint8_t* const last = code + size - kPrologueBytes;
  if (IsBoundary(last + 1) || (last[2] == 0xcc && last[3] == 0xcc)) return Found::kBoundary;
  for (const uint8_t* bytes = last; bytes >= code; --bytes) {
    if (IsPrologue(bytes)) return Found::kPrologue;
    if (IsBoundary(bytes)) return Found::kBoundary;
  }
  return Found::kNothing;
}

// The frame is being left at code[2]: a ret comes at once, or rbp has just become the caller's
// again (pop %rbp, leave). c9 is also how a register's operation on rcx ends. Async-signal-safe.
bool IsLeaving(const uint8_t* code) {
  const bool operand = code[0] < 0x40 || (code[0] & 0xf0) == 0x80;
  const bool restored = code[1] == 0x5d || (code[1] == 0xc9 && !operand);
  return restored || code[2] == 0xc3 || code[2] == 0xc2;
}

// A function that fills its page up to where it was interrupted is a large one, and these have
// frames. Async-signal-safe.
bool MadeFrame(Found found, uint64_t low, uint64_t page) {
  return found == Found::kPrologue || (found == Found::kNothing && low < page);
}

// Only the page that runs is looked at: the one before may be another thread's to unmap, that of a
// JIT compiler, between a probe and a read. Async-signal-safe.
bool HasMadeFrameHere(uint64_t low, uint64_t pc) {
  const uint64_t page = pc & ~(kPage - 1);
  if (!PageReadable(page)) return false;
  const auto* const code = reinterpret_cast<const uint8_t*>(pc);
  const uint64_t from = low > page ? low : page;
  if (pc - from >= 2 && IsLeaving(code - 2)) return false;
  return MadeFrame(ScanBack(reinterpret_cast<const uint8_t*>(from), pc - from), low, page);
}

// At most a page, in a range of the index. For Go's code, which is never unmapped: what Go links
// cannot be unloaded. Async-signal-safe.
bool ReadCode(const UnwindIndex& index, const CopiedStack* copy, uint64_t address, uint8_t* code,
              uint64_t size) {
  const UnwindModule* module = index.Find(address);
  if (module == nullptr || module->high - address < size) return false;
  if (copy != nullptr) return copy->read_code(copy->context, address, code, size);
  if (!PageReadable(address & ~(kPage - 1)) || !PageReadable((address + size - 1) & ~(kPage - 1))) {
    return false;
  }
  const auto* const from = reinterpret_cast<const volatile uint8_t*>(address);
  for (uint64_t i = 0; i < size; ++i) code[i] = from[i];
  return true;
}

// Not inlined, as handlers have no room for what they never use. Async-signal-safe.
__attribute__((noinline)) bool ReadsAsCall(const CopiedStack& copy, uint64_t start) {
  uint8_t code[kLongestCall];
  return copy.read_code(copy.context, start, code, sizeof(code)) && EndInCall(code);
}

// The same in pieces that overlap by all but one byte of a prologue. Async-signal-safe.
__attribute__((noinline)) bool HadMadeFrame(const CopiedStack& copy, uint64_t low, uint64_t pc) {
  constexpr uint64_t kPiece = 512;
  uint8_t code[kPiece];
  if (pc - low < 2 || !copy.read_code(copy.context, pc - 2, code, 3)) return false;
  if (IsLeaving(code)) return false;
  const uint64_t page = pc & ~(kPage - 1);
  const uint64_t lowest = low > page ? low : page;
  for (uint64_t end = pc; end - lowest >= kPrologueBytes;) {
    const uint64_t from = end - lowest > kPiece ? end - kPiece : lowest;
    if (!copy.read_code(copy.context, from, code, end - from)) return false;
    const Found found = ScanBack(code, end - from);
    if (found != Found::kNothing) return found == Found::kPrologue;
    if (from == lowest) break;
    end = from + kPrologueBytes - 1;
  }
  return MadeFrame(Found::kNothing, low, page);
}

}  // namespace

// Async-signal-safe.
bool FollowsCall(const UnwindIndex& index, const CopiedStack* copy, uint64_t address) {
  const UnwindModule* module = index.Find(address - 1);
  if (module == nullptr || address - module->low < kLongestCall) return false;
  const uint64_t start = address - kLongestCall;
  if (copy != nullptr) return ReadsAsCall(*copy, start);
  if (!PageReadable(start & ~(kPage - 1)) || !PageReadable((address - 1) & ~(kPage - 1))) {
    return false;
  }
  return EndInCall(reinterpret_cast<const uint8_t*>(start));
}

// Async-signal-safe.
GoPlace GoPlaceOf(const UnwindIndex& index, const CopiedStack* copy, uint64_t address) {
  uint8_t code[3];  // from the byte before
  if (!ReadCode(index, copy, address - 1, code, sizeof(code))) return GoPlace::kOther;
  const bool nop_before = code[0] == 0x90, call = code[1] == 0xe8;
  const bool pop_and_jump = code[1] == 0x58 && (code[2] == 0xe9 || code[2] == 0xeb);
  if (nop_before && call) return GoPlace::kGoroutineStart;
  return pop_and_jump ? GoPlace::kScheduler : GoPlace::kOther;
}

// Async-signal-safe. push %rbp; mov %rsp,%rbp; pushfq: nothing else needs the flags.
bool IsGoPreemption(const UnwindIndex& index, const CopiedStack* copy, uint64_t pc) {
  uint8_t code[kPrologueBytes + 1];
  return ReadCode(index, copy, pc, code, sizeof(code)) && code[0] == 0x55 && IsPrologue(code) &&
         code[kPrologueBytes] == 0x9c;
}

// Async-signal-safe. Of code that the index does not know it is not known where it begins.
bool HasMadeFrame(const UnwindIndex& index, const CopiedStack* copy, uint64_t pc) {
  const UnwindModule* module = index.Find(pc);
  const uint64_t low = module != nullptr ? module->low : pc & ~(kPage - 1);
  return copy != nullptr ? HadMadeFrame(*copy, low, pc) : HasMadeFrameHere(low, pc);
}

}  // namespace sonde
