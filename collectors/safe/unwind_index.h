// SPDX-License-Identifier: Apache-2.0
// The unwind tables as the stack walker reads them: immutable once published, position-dependent,
// plain memory. collectors/unwind_tables.h builds and publishes them; collectors/safe/unwind.cc and
// nothing else reads them on a hot path. Every function here is async-signal-safe.
//
//   UnwindIndex ──► lows[count]      start of each range of code, sorted
//               └─► modules[count] ─► buckets[]  first row of each 256 bytes of text, one u32 each
//                                  ├► rows[]     4 bytes: where in the 256 bytes, and the rule
//                                  └► rules[]    the few rules too wide for a row, once each
//
// A small object is one range. Of a big one only the chunks that walks came to have a table, and
// each stretch between them is a range of its own that says so (collectors/unwind_tables.h).
//
// One look-up is one bucket, then a scan of about five adjacent rows: two cache lines when cold.
// Memory: about 6 bytes per 20 bytes of .eh_frame; bounded by the builder's budget.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

namespace sonde {

// Registers in the order of the kernel's signal frame (and of gregs in ucontext_t).
enum Greg : uint8_t {
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
  kRdi,
  kRsi,
  kRbp,
  kRbx,
  kRdx,
  kRax,
  kRcx,
  kRsp,
  kRip,
  kGregCount,
};

// In the order of the kernel's signal frame: ucontext_t's uc_mcontext.gregs starts with the same.
// may_alias: a handler takes them where the kernel put them.
struct __attribute__((may_alias)) Registers {
  uint64_t gpr[kGregCount];
};

// How the canonical frame address (the caller's rsp) is found. The return address is at CFA - 8.
enum class CfaKind : uint8_t {
  kRsp,       // rsp + offset
  kRbp,       // rbp + offset
  kNone,      // nothing is known about these pcs
  kRoot,      // no caller: the outermost frame
  kRegister,  // reg + offset: only where all registers are known
  kDeref,     // *(reg + offset) + addend
  kPlt,       // rsp + 8, and 8 more when (rip & 15) >= offset
  kSignal,    // rsp points at a ucontext_t: the interrupted code's registers are in it
  kWide,      // only in a row: the rule is in the module's rules[]
};

// Where the caller's rbp is.
enum class RbpKind : uint8_t {
  kSame,       // still in rbp
  kUndefined,  // lost
  kAtCfa,      // at CFA + rbp_offset
  kAtRbp,      // at rbp + rbp_offset (frames realigned by GCC)
};

struct UnwindRule {
  CfaKind cfa = CfaKind::kNone;
  Greg reg = kRsp;  // for kRegister and kDeref
  RbpKind rbp = RbpKind::kSame;
  int32_t offset = 0;
  int32_t addend = 0;
  int32_t rbp_offset = 0;

  bool operator==(const UnwindRule&) const = default;
};

// A row: [31:24] first address + 1 within the bucket's 256, [23:20] CfaKind, [19:16] where rbp is:
// 0 still in rbp, n at CFA - 8(n + 1); [15:0] CFA offset in units of 8, or the number of a wide
// rule.
using UnwindRow = uint32_t;

inline constexpr uint32_t kBucketShift = 8;
inline constexpr uint32_t kRowCfaShift = 20;
inline constexpr uint32_t kRowRbpShift = 16;
inline constexpr uint32_t kRowValueMask = 0xffff;

constexpr CfaKind RowCfa(UnwindRow row) { return CfaKind{static_cast<uint8_t>(row >> 20 & 15)}; }
constexpr uint32_t RowRbp(UnwindRow row) { return row >> kRowRbpShift & 15; }
constexpr uint32_t RowValue(UnwindRow row) { return row & kRowValueMask; }

struct UnwindTable {
  uintptr_t low = 0;  // executable range [low, high)
  uintptr_t high = 0;
  // Where the bucket of address 0 would be: buckets[], less 4 bytes for each 256 below `low`.
  uintptr_t bucket_zero = 0;
  const UnwindRow* rows = nullptr;  // null: executable, without a table. rows[0] is kNone
  const UnwindRule* rules = nullptr;

  // The row in force at pc `after - 1`; low < after <= high. The tables are shifted by that 1 when
  // they are built: a walk looks up return addresses, and each instruction here is on its critical
  // path. For the same reason the scan reads rows at fixed distances. Async-signal-safe.
  UnwindRow Find(uintptr_t after) const { return *FindRow(after); }

  // Where it is. Async-signal-safe.
  const UnwindRow* FindRow(uintptr_t after) const {
    const auto* bucket =
        reinterpret_cast<const uint32_t*>(bucket_zero + (after >> kBucketShift) * sizeof(uint32_t));
    const UnwindRow last = static_cast<uint32_t>(after) << 24 | 0xffffff;
    const UnwindRow* next = rows + bucket[0];
    for (int64_t left = int64_t{bucket[1]} - int64_t{bucket[0]};; left -= 4, next += 4) {
      if (left <= 0 || next[0] > last) return &next[-1];
      if (left == 1 || next[1] > last) return &next[0];
      if (left == 2 || next[2] > last) return &next[1];
      if (left == 3 || next[3] > last) return &next[2];
    }
  }

  // The same as a rule, for who has time; rows is not null. Async-signal-safe.
  UnwindRule RuleAt(uintptr_t after) const {
    const UnwindRow row = Find(after);
    UnwindRule rule;
    rule.cfa = RowCfa(row);
    if (rule.cfa == CfaKind::kWide) return rules[RowValue(row)];
    if (rule.cfa == CfaKind::kRbp) rule.reg = kRbp;
    rule.offset = static_cast<int32_t>(RowValue(row) * 8);
    if (RowRbp(row) != 0) {
      rule.rbp = RbpKind::kAtCfa;
      rule.rbp_offset = -static_cast<int32_t>((RowRbp(row) + 1) * 8);
    }
    return rule;
  }
};

// A range of the index: an object, a chunk of one, or code that has no table (now).
struct UnwindModule : UnwindTable {
  bool on_demand = false;     // the builder can make a table for this range: ask for it
  bool is_go = false;         // Go's code: no unwind information, but frame pointers across stacks
  mutable uint32_t used = 0;  // a walk came here since the builder looked last; Touch, TakeUsed

  // Async-signal-safe. Reads before it writes: all threads share the cache line.
  void Touch() const {
    const std::atomic_ref<uint32_t> word(used);
    if (word.load(std::memory_order_relaxed) == 0) word.store(1, std::memory_order_relaxed);
  }
  // Cold path only.
  bool TakeUsed() const {
    return std::atomic_ref<uint32_t>(used).exchange(0, std::memory_order_relaxed) != 0;
  }
};

struct UnwindIndex {
  uint32_t count = 0;
  const uintptr_t* lows = nullptr;
  const UnwindModule* modules = nullptr;

  // The executable range that holds `pc`, or null. Async-signal-safe.
  const UnwindModule* Find(uintptr_t pc) const {
    uint32_t first = 0;
    for (uint32_t size = count; size > 0;) {
      const uint32_t half = size / 2;
      const bool right = lows[first + half] <= pc;
      first += right ? half + 1 : 0;
      size = right ? size - half - 1 : half;
    }
    if (first == 0 || pc >= modules[first - 1].high) return nullptr;
    return &modules[first - 1];
  }
};

}  // namespace sonde
