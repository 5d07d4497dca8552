// SPDX-License-Identifier: Apache-2.0
// Code that was made at run time, as by a JIT compiler: it has no unwind information, its frames
// hold return addresses of older calls, and some of it is newer than the index. Stacks are written
// word by word, so that what a walk has to say is known.
#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <initializer_list>
#include <vector>

#include "walk_testing.h"

namespace sonde {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kWord = 8;

class Pages {
 public:
  Pages(size_t pages, int protection)
      : bytes_(pages * kPage),
        memory_(mmap(nullptr, bytes_, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~Pages() { munmap(memory_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  uint64_t low() const { return reinterpret_cast<uint64_t>(memory_); }
  uint64_t Put(uint64_t offset, std::initializer_list<uint8_t> bytes) const {
    memcpy(static_cast<char*>(memory_) + offset, bytes.begin(), bytes.size());
    return low() + offset + bytes.size();
  }

 private:
  const size_t bytes_;
  void* const memory_;
};

constexpr int kCode = PROT_READ | PROT_WRITE | PROT_EXEC;
constexpr std::initializer_list<uint8_t> kIndirectCall = {0xff, 0xd3};  // call *%rbx
constexpr std::initializer_list<uint8_t> kPrologue = {0x55, 0x48, 0x89, 0xe5};
constexpr std::initializer_list<uint8_t> kOtherPrologue = {0x55, 0x48, 0x8b, 0xec};
constexpr std::initializer_list<uint8_t> kPadding = {0xcc, 0xcc, 0xcc};

//   stack:  [ stale ][ … ][ saved rbp ][ caller ] … [ saved rbp ][ outer ] … 0
class WalkCode : public testing::Test {
 protected:
  void SetUp() override {
    stale_ = code_.Put(0x100, kIndirectCall);
    caller_ = code_.Put(0x200, kIndirectCall);
    outer_ = code_.Put(0x300, kIndirectCall);
    Frame(0x40, 0x80, caller_);
    Frame(0x80, 0xc0, outer_);
    Frame(0xc0, 0, 0);
    *Word(0) = stale_;
    tables_.Refresh();
  }
  uint64_t* Word(uint64_t offset) { return reinterpret_cast<uint64_t*>(stack_.low() + offset); }
  void Frame(uint64_t at, uint64_t next, uint64_t return_address) {
    *Word(at) = next == 0 ? 0 : stack_.low() + next;
    *Word(at + kWord) = return_address;
  }
  std::vector<uint64_t> Walk(uint64_t pc) {
    Registers registers{};
    registers.gpr[kRip] = pc;
    registers.gpr[kRsp] = stack_.low();
    registers.gpr[kRbp] = stack_.low() + 0x40;
    uint64_t frames[kMaxTestFrames];
    result_ = WalkStack(publication_, registers, {}, frames, kMaxTestFrames);
    std::vector<uint64_t> seen(frames, frames + result_.depth);
    EXPECT_EQ(WalkCopy(registers), seen);
    return seen;
  }
  // The cold side reads code by a call of its own.
  std::vector<uint64_t> WalkCopy(const Registers& registers) {
    CopiedStack copy;
    copy.low = stack_.low();
    copy.high = stack_.low() + kPage;
    copy.bytes = reinterpret_cast<const uint8_t*>(stack_.low());
    copy.build = [](void*, uint64_t) -> const UnwindModule* { return nullptr; };
    copy.read_code = [](void*, uint64_t address, void* out, size_t size) {
      memcpy(out, reinterpret_cast<const void*>(address), size);
      return true;
    };
    const UnwindPublication::Reader reader(publication_);
    uint64_t frames[kMaxTestFrames];
    const WalkResult result =
        WalkCopiedStack(reader.index(), registers, copy, frames, kMaxTestFrames);
    EXPECT_EQ(result.end, result_.end);
    return {frames, frames + result.depth};
  }
  std::vector<uint64_t> ByFramePointer(uint64_t pc) { return {pc, caller_, outer_}; }
  std::vector<uint64_t> AsLeaf(uint64_t pc) { return {pc, stale_, caller_, outer_}; }

  Pages code_{4, kCode};
  Pages stack_{1, PROT_READ | PROT_WRITE};
  uint64_t stale_ = 0, caller_ = 0, outer_ = 0;
  UnwindPublication publication_;
  UnwindTables tables_{publication_, size_t{8} << 20};
  WalkResult result_;
};

TEST_F(WalkCode, AReturnAddressThatAnOlderCallLeftInTheFrameIsNotTakenForTheCaller) {
  for (const auto& prologue : {kPrologue, kOtherPrologue}) {
    code_.Put(0x400, prologue);
    for (const uint64_t pc : {0x404u, 0x410u, 0x7ffu, 0x1000u, 0x13feu}) {
      EXPECT_EQ(Walk(code_.low() + pc), ByFramePointer(code_.low() + pc)) << std::hex << pc;
      EXPECT_EQ(result_.end, StackEnd::kRoot);
    }
  }
}

TEST_F(WalkCode, APrologueAcrossTwoPagesIsFound) {
  for (const uint64_t at : {0xffcu, 0xffdu, 0xffeu, 0xfffu, 0x1000u}) {
    code_.Put(0xff8, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    code_.Put(at, kPrologue);
    for (const uint64_t pc : {0x1004u, 0x1080u}) {
      EXPECT_EQ(Walk(code_.low() + pc), ByFramePointer(code_.low() + pc)) << std::hex << at;
    }
  }
}

TEST_F(WalkCode, AFunctionWithoutAFrameReturnsToTheWordAtItsStackPointer) {
  code_.Put(0x400, kPrologue);
  code_.Put(0x420, kPadding);
  for (const uint64_t pc : {0x423u, 0x500u, 0xff0u}) {
    EXPECT_EQ(Walk(code_.low() + pc), AsLeaf(code_.low() + pc)) << std::hex << pc;
    EXPECT_EQ(result_.end, StackEnd::kRoot);
  }
}

TEST_F(WalkCode, AFunctionThatFillsItsPageIsLeftByItsFramePointerIfThatLeadsOn) {
  code_.Put(0x420, kPadding);
  const uint64_t pc = code_.low() + 0x13f0;
  EXPECT_EQ(Walk(pc), ByFramePointer(pc));
  *Word(0x48) = 12345;
  EXPECT_EQ(Walk(pc), (std::vector<uint64_t>{pc, stale_}));
}

TEST_F(WalkCode, AFrameThatIsNotMadeYetOrAlreadyLeftReturnsToTheWordAtItsStackPointer) {
  code_.Put(0x400, kPadding);
  code_.Put(0x403, kPrologue);
  code_.Put(0x420, {0xb8, 0x01, 0xc9, 0xc3});        // … leave; ret
  code_.Put(0x430, {0xb8, 0xe8, 0x5d, 0xc2, 8, 0});  // … pop %rbp; ret $8
  code_.Put(0x440, {0x48, 0x8b, 0x4d, 0xe8, 0xc9, 0x48, 0x83, 0xf9, 0x03});
  for (const uint64_t pc : {0x403u, 0x423u, 0x433u, 0x445u}) {
    EXPECT_EQ(Walk(code_.low() + pc), AsLeaf(code_.low() + pc)) << std::hex << pc;
  }
  code_.Put(0x450, {0x31, 0xc9});  // xor %ecx,%ecx
  EXPECT_EQ(Walk(code_.low() + 0x452), ByFramePointer(code_.low() + 0x452));
}

TEST_F(WalkCode, AFramePointerThatLeadsNowhereLeavesTheWordAtTheStackPointer) {
  code_.Put(0x400, kPrologue);
  *Word(0x48) = 12345;
  const uint64_t pc = code_.low() + 0x410;
  EXPECT_EQ(Walk(pc), (std::vector<uint64_t>{pc, stale_}));
  EXPECT_EQ(result_.end, StackEnd::kNoUnwindData);
}

// What was compiled after the index was made.
class WalkNewCode : public WalkCode {
 protected:
  void SetUp() override {
    newer_ = newer_code_.Put(0x200, kIndirectCall);
    ASSERT_EQ(mprotect(reinterpret_cast<void*>(newer_code_.low()), kPage, PROT_READ), 0);
    WalkCode::SetUp();
    *Word(0) = 0;
    Frame(0x40, 0x80, newer_);
  }
  Pages newer_code_{1, kCode};
  uint64_t newer_ = 0;
};

TEST_F(WalkNewCode, ACallerInItIsBelievedBetweenFramesOfKnownCodeAndNoted) {
  const uint64_t pc = caller_ - 2;
  EXPECT_EQ(Walk(pc), (std::vector<uint64_t>{pc, newer_, outer_}));
  EXPECT_EQ(result_.end, StackEnd::kRoot);
  EXPECT_TRUE(result_.unknown_pc);
  EXPECT_TRUE(publication_.TakeUnknownPc());
}

TEST_F(WalkNewCode, AWordThatNoKnownCodeIsBeyondIsNotBelievedButNoted) {
  const uint64_t pc = caller_ - 2;
  *Word(0x88) = 12345;
  EXPECT_EQ(Walk(pc), (std::vector<uint64_t>{pc}));
  EXPECT_EQ(result_.end, StackEnd::kNoUnwindData);
  EXPECT_TRUE(result_.unknown_pc);
}

TEST_F(WalkNewCode, AWordInAFrameWithoutAChainIsNeitherBelievedNorNoted) {
  const uint64_t pc = caller_ - 2;
  Frame(0x40, 0x38, newer_);
  EXPECT_EQ(Walk(pc), (std::vector<uint64_t>{pc}));
  EXPECT_FALSE(result_.unknown_pc);
}

}  // namespace
}  // namespace sonde
