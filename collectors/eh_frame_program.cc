// SPDX-License-Identifier: Apache-2.0
// Runs a call frame program, following the CFA, rbp and the return address only.
#include <string.h>

#include "collectors/eh_frame.h"
#include "collectors/eh_frame_cursor.h"

namespace sonde {
namespace {

// DWARF 5, table 7.29; the GNU ones from the LSB.
enum Opcode : uint8_t {
  kNop = 0x00,
  kSetLoc = 0x01,
  kAdvanceLoc1 = 0x02,
  kAdvanceLoc2 = 0x03,
  kAdvanceLoc4 = 0x04,
  kOffsetExtended = 0x05,
  kRestoreExtended = 0x06,
  kUndefined = 0x07,
  kSameValue = 0x08,
  kInRegister = 0x09,
  kRememberState = 0x0a,
  kRestoreState = 0x0b,
  kDefCfa = 0x0c,
  kDefCfaRegister = 0x0d,
  kDefCfaOffset = 0x0e,
  kDefCfaExpression = 0x0f,
  kExpression = 0x10,
  kOffsetExtendedSf = 0x11,
  kDefCfaSf = 0x12,
  kDefCfaOffsetSf = 0x13,
  kValOffset = 0x14,
  kValOffsetSf = 0x15,
  kValExpression = 0x16,
  kGnuArgsSize = 0x2e,
  // In the two high bits, with an operand in the low six:
  kAdvanceLoc = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
};

enum ExpressionOpcode : uint8_t {
  kOpDeref = 0x06,
  kOpAnd = 0x1a,
  kOpPlus = 0x22,
  kOpPlusUconst = 0x23,
  kOpShl = 0x24,
  kOpGe = 0x2a,
  kOpLit0 = 0x30,
  kOpBreg0 = 0x70,
};

constexpr uint64_t kDwarfRbp = 6;
constexpr uint64_t kDwarfRsp = 7;
constexpr uint64_t kDwarfReturnAddress = 16;
constexpr int64_t kReturnAddressOffset = -8;
constexpr int32_t kRspInUcontext = 160;
// Real programs nest one deep. More is followed as "no rule".
constexpr size_t kMaxRemembered = 8;
// rsp when it is the CFA register: DWARF's numbers in the order of Greg.
constexpr Greg kDwarfToGreg[16] = {kRax, kRdx, kRcx, kRbx, kRsi, kRdi, kRbp, kRsp,
                                   kR8,  kR9,  kR10, kR11, kR12, kR13, kR14, kR15};

// Where the return address is.
enum class ReturnAddress : uint8_t { kAtCfaMinus8, kUndefined, kElsewhere };

struct State {
  UnwindRule rule;
  ReturnAddress return_address = ReturnAddress::kElsewhere;
};

bool FitsInt32(int64_t value) { return value == static_cast<int32_t>(value); }

class Program {
 public:
  using RangeFunction = void (*)(void* to, const UnwindRange& range);
  Program(const EhFrameSection& section, const EhFrameCie& cie, const EhFrameFde& fde,
          RangeFunction function, void* to)
      : section_(section),
        cie_(cie),
        location_(fde.begin),
        end_(fde.end),
        function_(function),
        to_(to) {}

  void Run(const EhFrameFde& fde) {
    running_cie_ = true;
    const bool cie_ok = Execute(cie_.program_begin, cie_.program_end);
    running_cie_ = false;
    initial_ = state_;
    const bool ok = cie_ok && Execute(fde.program_begin, fde.program_end);
    if (!ok) state_ = State();
    AdvanceTo(end_);
  }

 private:
  bool Execute(size_t begin, size_t end) {
    ByteCursor cursor(section_.data, begin, end, section_.address);
    while (!cursor.AtEnd()) {
      const auto opcode = cursor.Read<uint8_t>();
      const bool known = opcode >= kAdvanceLoc      ? ExecuteShort(cursor, opcode)
                         : opcode < kOffsetExtended ? ExecuteAdvance(cursor, opcode)
                         : opcode >= kDefCfa && opcode <= kDefCfaOffsetSf
                             ? ExecuteCfa(cursor, opcode)
                             : ExecuteRegister(cursor, opcode);
      if (!known || !cursor.ok()) return false;
    }
    return cursor.ok();
  }

  bool ExecuteShort(ByteCursor& cursor, uint8_t opcode) {
    const uint8_t operand = opcode & 0x3f;
    if ((opcode & 0xc0) == kAdvanceLoc) return Advance(operand);
    if ((opcode & 0xc0) == kRestore) return RestoreRegister(operand);
    SetOffset(operand, static_cast<int64_t>(cursor.Uleb()));
    return true;
  }

  bool ExecuteAdvance(ByteCursor& cursor, uint8_t opcode) {
    switch (opcode) {
      case kNop:
        return true;
      case kSetLoc:
        return AdvanceTo(cursor.ReadPointer(cie_.pointer_encoding));
      case kAdvanceLoc1:
        return Advance(cursor.Read<uint8_t>());
      case kAdvanceLoc2:
        return Advance(cursor.Read<uint16_t>());
      default:
        return Advance(cursor.Read<uint32_t>());
    }
  }

  bool ExecuteCfa(ByteCursor& cursor, uint8_t opcode) {
    switch (opcode) {
      case kDefCfa: {
        const uint64_t reg = cursor.Uleb();
        return SetCfa(reg, static_cast<int64_t>(cursor.Uleb()));
      }
      case kDefCfaSf: {
        const uint64_t reg = cursor.Uleb();
        return SetCfa(reg, Scaled(cursor.Sleb()));
      }
      case kDefCfaRegister:
        return SetCfa(cursor.Uleb(), state_.rule.offset);
      case kDefCfaOffset:
        return SetCfaOffset(static_cast<int64_t>(cursor.Uleb()));
      case kDefCfaOffsetSf:
        return SetCfaOffset(Scaled(cursor.Sleb()));
      case kDefCfaExpression:
        return SetCfaExpression(cursor);
      case kExpression:
        return SetRegisterExpression(cursor);
      default: {  // kOffsetExtendedSf
        const uint64_t reg = cursor.Uleb();
        SetOffset(reg, cursor.Sleb());
        return true;
      }
    }
  }

  bool ExecuteRegister(ByteCursor& cursor, uint8_t opcode) {
    if (opcode == kGnuArgsSize) return cursor.Uleb(), true;
    if (opcode == kRememberState) return Remember();
    if (opcode == kRestoreState) return Recall();
    const bool known = (opcode >= kOffsetExtended && opcode <= kInRegister) ||
                       (opcode >= kValOffset && opcode <= kValExpression);
    if (!known) return false;
    const uint64_t reg = cursor.Uleb();
    switch (opcode) {
      case kOffsetExtended:
        SetOffset(reg, static_cast<int64_t>(cursor.Uleb()));
        return true;
      case kRestoreExtended:
        return RestoreRegister(reg);
      case kSameValue:
        SetElsewhere(reg);
        if (reg == kDwarfRbp) state_.rule.rbp = RbpKind::kSame;
        return true;
      case kUndefined:
        SetElsewhere(reg);
        if (reg == kDwarfReturnAddress) state_.return_address = ReturnAddress::kUndefined;
        return true;
      case kValExpression:
        SetElsewhere(reg);
        return cursor.Skip(cursor.Uleb()), true;
      default:  // in another register, or a computed value: one operand
        SetElsewhere(reg);
        return cursor.Uleb(), true;
    }
  }

  // --- location ---
  bool Advance(uint64_t delta) {
    uint64_t bytes, to;
    if (__builtin_mul_overflow(delta, cie_.code_align, &bytes)) return false;
    if (__builtin_add_overflow(location_, bytes, &to)) return false;
    return AdvanceTo(to);
  }

  bool AdvanceTo(uint64_t to) {
    if (running_cie_ || to < location_) return false;
    const uint64_t end = to < end_ ? to : end_;
    if (end > location_) function_(to_, {location_, end, Rule()});
    location_ = end;
    return to <= end_;
  }

  // What the state means to a walker.
  UnwindRule Rule() const {
    if (state_.return_address == ReturnAddress::kUndefined) return {CfaKind::kRoot};
    const UnwindRule& rule = state_.rule;
    if (cie_.signal_frame) {
      const bool usual = rule.cfa == CfaKind::kDeref && rule.reg == kRsp &&
                         rule.offset == kRspInUcontext && rule.addend == 0;
      return {usual ? CfaKind::kSignal : CfaKind::kNone};
    }
    if (state_.return_address == ReturnAddress::kElsewhere) return {};
    return rule;
  }

  // --- CFA ---
  bool SetCfa(uint64_t dwarf_reg, int64_t offset) {
    if (dwarf_reg >= 16 || !FitsInt32(offset)) {
      state_.rule.cfa = CfaKind::kNone;
      return true;
    }
    const Greg reg = kDwarfToGreg[dwarf_reg];
    state_.rule.cfa = reg == kRsp   ? CfaKind::kRsp
                      : reg == kRbp ? CfaKind::kRbp
                                    : CfaKind::kRegister;
    state_.rule.reg = reg;
    state_.rule.offset = static_cast<int32_t>(offset);
    state_.rule.addend = 0;
    return true;
  }

  // Only defined while the CFA is a register and an offset.
  bool SetCfaOffset(int64_t offset) {
    const CfaKind kind = state_.rule.cfa;
    if (kind == CfaKind::kDeref || kind == CfaKind::kPlt || !FitsInt32(offset)) {
      state_.rule.cfa = CfaKind::kNone;
    }
    state_.rule.offset = static_cast<int32_t>(offset);
    return true;
  }

  bool SetCfaExpression(ByteCursor& cursor) {
    const uint64_t size = cursor.Uleb();
    const size_t begin = cursor.position();
    cursor.Skip(size);
    if (!cursor.ok()) return false;
    const UnwindRule was = state_.rule;
    state_.rule.cfa = CfaKind::kNone;
    if (!MatchDeref({section_.data, begin, cursor.position(), 0})) {
      MatchPlt({section_.data, begin, cursor.position(), 0});
    }
    state_.rule.rbp = was.rbp;
    state_.rule.rbp_offset = was.rbp_offset;
    return true;
  }

  // breg N; deref; and, maybe, an addend.
  bool MatchDeref(ByteCursor expression) {
    const uint64_t dwarf_reg = uint64_t{expression.Read<uint8_t>()} - kOpBreg0;
    const int64_t offset = expression.Sleb();
    if (dwarf_reg >= 16 || !FitsInt32(offset)) return false;
    if (expression.Read<uint8_t>() != kOpDeref) return false;
    uint64_t addend = 0;
    if (!expression.AtEnd()) {
      if (expression.Read<uint8_t>() != kOpPlusUconst) return false;
      addend = expression.Uleb();
    }
    if (!expression.ok() || !expression.AtEnd() || addend > INT32_MAX) return false;
    state_.rule.cfa = CfaKind::kDeref;
    state_.rule.reg = kDwarfToGreg[dwarf_reg];
    state_.rule.offset = static_cast<int32_t>(offset);
    state_.rule.addend = static_cast<int32_t>(addend);
    return true;
  }

  // rsp + 8 + ((rip & 15) >= N) * 8: what linkers write for the procedure linkage table.
  void MatchPlt(ByteCursor expression) {
    const uint8_t start[] = {kOpBreg0 + kDwarfRsp, 8,     kOpBreg0 + kDwarfReturnAddress, 0,
                             kOpLit0 + 15,         kOpAnd};
    const uint8_t tail[] = {kOpGe, kOpLit0 + 3, kOpShl, kOpPlus};
    for (const uint8_t byte : start) {
      if (expression.Read<uint8_t>() != byte) return;
    }
    const auto threshold = static_cast<uint8_t>(expression.Read<uint8_t>() - kOpLit0);
    for (const uint8_t byte : tail) {
      if (expression.Read<uint8_t>() != byte) return;
    }
    if (!expression.ok() || !expression.AtEnd() || threshold > 15) return;
    state_.rule.cfa = CfaKind::kPlt;
    state_.rule.reg = kRsp;
    state_.rule.offset = threshold;
    state_.rule.addend = 0;
  }

  // --- registers ---
  // An offset in the CIE's unit; far outside of every frame when it overflows.
  int64_t Scaled(int64_t factored) const {
    int64_t offset;
    return __builtin_mul_overflow(factored, cie_.data_align, &offset) ? INT64_MAX : offset;
  }

  void SetElsewhere(uint64_t dwarf_reg) {
    if (dwarf_reg == kDwarfRbp) state_.rule.rbp = RbpKind::kUndefined;
    if (dwarf_reg == kDwarfReturnAddress) state_.return_address = ReturnAddress::kElsewhere;
    state_.rule.rbp_offset = state_.rule.rbp < RbpKind::kAtCfa ? 0 : state_.rule.rbp_offset;
  }

  void SetOffset(uint64_t dwarf_reg, int64_t factored) {
    if (dwarf_reg != kDwarfRbp && dwarf_reg != kDwarfReturnAddress) return;
    const int64_t offset = Scaled(factored);
    SetElsewhere(dwarf_reg);
    if (dwarf_reg == kDwarfReturnAddress) {
      if (offset == kReturnAddressOffset) state_.return_address = ReturnAddress::kAtCfaMinus8;
    } else if (FitsInt32(offset)) {
      state_.rule.rbp = RbpKind::kAtCfa;
      state_.rule.rbp_offset = static_cast<int32_t>(offset);
    }
  }

  // Only rbp at rbp + n is understood: GCC's realigned frames.
  bool SetRegisterExpression(ByteCursor& cursor) {
    const uint64_t dwarf_reg = cursor.Uleb();
    const uint64_t size = cursor.Uleb();
    const size_t begin = cursor.position();
    cursor.Skip(size);
    if (!cursor.ok()) return false;
    SetElsewhere(dwarf_reg);
    if (dwarf_reg != kDwarfRbp) return true;
    ByteCursor expression(section_.data, begin, cursor.position(), 0);
    const auto opcode = expression.Read<uint8_t>();
    const int64_t offset = expression.Sleb();
    if (opcode != kOpBreg0 + kDwarfRbp || !expression.ok() || !expression.AtEnd()) return true;
    if (!FitsInt32(offset)) return true;
    state_.rule.rbp = RbpKind::kAtRbp;
    state_.rule.rbp_offset = static_cast<int32_t>(offset);
    return true;
  }

  bool RestoreRegister(uint64_t dwarf_reg) {
    if (running_cie_) return false;
    if (dwarf_reg == kDwarfRbp) {
      state_.rule.rbp = initial_.rule.rbp;
      state_.rule.rbp_offset = initial_.rule.rbp_offset;
    } else if (dwarf_reg == kDwarfReturnAddress) {
      state_.return_address = initial_.return_address;
    }
    return true;
  }

  bool Remember() {
    if (remembered_ == kMaxRemembered) return false;
    stack_[remembered_++] = state_;
    return true;
  }

  bool Recall() {
    if (remembered_ == 0) return false;
    state_ = stack_[--remembered_];
    return true;
  }

  const EhFrameSection& section_;
  const EhFrameCie& cie_;
  uint64_t location_;
  const uint64_t end_;
  const RangeFunction function_;
  void* const to_;
  bool running_cie_ = false;
  State state_;
  State initial_;
  State stack_[kMaxRemembered];
  size_t remembered_ = 0;
};

}  // namespace

void EhFrameReader::RunProgram(const EhFrameFde& fde, RangeFunction function, void* to) {
  const EhFrameCie cie = CieAt(fde.cie);
  Program(section_, cie, fde, function, to).Run(fde);
}

}  // namespace sonde
