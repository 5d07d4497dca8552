// SPDX-License-Identifier: Apache-2.0
// The .eh_frame reader: single rules on hand-made sections, and bytes that nobody should write.
#include "collectors/eh_frame.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <string.h>

#include <random>
#include <string>
#include <vector>

#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"

namespace sonde {
namespace {

constexpr uint64_t kAddress = 0x10000;  // of the section
constexpr uint64_t kCode = 0x20000;
constexpr uint32_t kCodeSize = 0x100;

void Append32(std::string* to, uint32_t value) {
  to->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// One CIE (rsp + 8, return address at CFA - 8) and one FDE with `program`.
std::string Section(const std::string& program, const char* augmentation = "zR") {
  std::string cie("\x01", 1);
  cie.append(augmentation, strlen(augmentation) + 1);
  cie += std::string("\x01\x78\x10\x01\x1b\x0c\x07\x08\x90\x01", 10);
  std::string section;
  Append32(&section, static_cast<uint32_t>(cie.size() + 4));
  Append32(&section, 0);
  section += cie;
  const auto fde_at = static_cast<uint32_t>(section.size());
  Append32(&section, static_cast<uint32_t>(program.size() + 13));
  Append32(&section, fde_at + 4);
  Append32(&section, static_cast<uint32_t>(kCode - (kAddress + section.size())));
  Append32(&section, kCodeSize);
  section += '\0';
  section += program;
  Append32(&section, 0);
  return section;
}

std::vector<UnwindRange> Ranges(const std::string& bytes) {
  EhFrameReader reader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), kAddress});
  std::vector<UnwindRange> ranges;
  EhFrameFde fde;
  while (reader.Next(&fde)) {
    reader.Run(fde, [&](const UnwindRange& range) { ranges.push_back(range); });
  }
  return ranges;
}

UnwindRule RuleAfter(const std::string& program, const char* augmentation = "zR") {
  const std::vector<UnwindRange> ranges = Ranges(Section(program, augmentation));
  return ranges.empty() ? UnwindRule{CfaKind::kWide} : ranges.back().rule;
}

TEST(EhFrame, AnEmptyProgramHasTheRuleOfItsCie) {
  const std::vector<UnwindRange> ranges = Ranges(Section(""));
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].begin, kCode);
  EXPECT_EQ(ranges[0].end, kCode + kCodeSize);
  EXPECT_EQ(ranges[0].rule, (UnwindRule{CfaKind::kRsp, kRsp, RbpKind::kSame, 8, 0, 0}));
}

TEST(EhFrame, APrologueGivesARangeForEachInstruction) {
  // push rbp at 1; mov rsp, rbp at 4.
  const auto ranges = Ranges(Section(std::string("\x41\x0e\x10\x86\x02\x43\x0d\x06", 8)));
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[1].begin, kCode + 1);
  EXPECT_EQ(ranges[1].rule, (UnwindRule{CfaKind::kRsp, kRsp, RbpKind::kAtCfa, 16, 0, -16}));
  EXPECT_EQ(ranges[2].begin, kCode + 4);
  EXPECT_EQ(ranges[2].rule, (UnwindRule{CfaKind::kRbp, kRbp, RbpKind::kAtCfa, 16, 0, -16}));
}

TEST(EhFrame, RememberedStatesComeBack) {
  const auto ranges = Ranges(Section(std::string("\x0a\x41\x0e\x40\x41\x0b\x41", 7)));
  ASSERT_EQ(ranges.size(), 4u);
  EXPECT_EQ(ranges[1].rule.offset, 64);
  EXPECT_EQ(ranges[2].rule.offset, 8);
}

TEST(EhFrame, ExpressionsOfRealignedFramesAreUnderstood) {
  // CFA = *(rbp - 8); rbp at *(rbp + 0).
  const UnwindRule rule = RuleAfter(std::string("\x0f\x03\x76\x78\x06\x10\x06\x02\x76\x00", 10));
  EXPECT_EQ(rule, (UnwindRule{CfaKind::kDeref, kRbp, RbpKind::kAtRbp, -8, 0, 0}));
  // CFA = *(rsp + 40) + 8.
  EXPECT_EQ(RuleAfter(std::string("\x0f\x05\x77\x28\x06\x23\x08", 7)),
            (UnwindRule{CfaKind::kDeref, kRsp, RbpKind::kSame, 40, 8, 0}));
}

TEST(EhFrame, ThePltExpressionIsUnderstood) {
  const std::string expression("\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22", 11);
  const UnwindRule rule = RuleAfter(std::string("\x0f\x0b", 2) + expression);
  EXPECT_EQ(rule, (UnwindRule{CfaKind::kPlt, kRsp, RbpKind::kSame, 11, 0, 0}));
}

TEST(EhFrame, OtherExpressionsGiveNoRule) {
  EXPECT_EQ(RuleAfter(std::string("\x0f\x03\x77\x08\x12", 5)).cfa, CfaKind::kNone);
  EXPECT_EQ(RuleAfter(std::string("\x0f\x00", 2)).cfa, CfaKind::kNone);
}

TEST(EhFrame, ASignalFrameIsRecognised) {
  const std::string program("\x0f\x04\x77\xa0\x01\x06", 6);  // CFA = *(rsp + 160)
  EXPECT_EQ(RuleAfter(program, "zRS").cfa, CfaKind::kSignal);
  EXPECT_EQ(RuleAfter("", "zRS").cfa, CfaKind::kNone);
}

TEST(EhFrame, AnUndefinedReturnAddressIsTheRoot) {
  EXPECT_EQ(RuleAfter(std::string("\x07\x10", 2)).cfa, CfaKind::kRoot);
}

TEST(EhFrame, AReturnAddressElsewhereGivesNoRule) {
  EXPECT_EQ(RuleAfter(std::string("\x90\x02", 2)).cfa, CfaKind::kNone);      // at CFA - 16
  EXPECT_EQ(RuleAfter(std::string("\x09\x10\x01", 3)).cfa, CfaKind::kNone);  // in rdx
}

TEST(EhFrame, AnUnknownOpcodeEndsTheRules) {
  const auto ranges = Ranges(Section(std::string("\x41\x3d\x41\x0e\x10", 5)));
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].rule.cfa, CfaKind::kRsp);
  EXPECT_EQ(ranges[1].rule.cfa, CfaKind::kNone);
  EXPECT_EQ(ranges[1].end, kCode + kCodeSize);
}

TEST(EhFrame, AnUnknownAugmentationIsSkippedAndCounted) {
  const std::string bytes = Section("", "zX");
  EhFrameReader reader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), kAddress});
  EhFrameFde fde;
  EXPECT_FALSE(reader.Next(&fde));
  EXPECT_EQ(reader.skipped(), 1u);
}

// What must hold for any bytes.
void CheckHostile(const std::vector<uint8_t>& bytes, uint64_t address, uint64_t low,
                  uint64_t high) {
  const EhFrameSection section = {bytes.data(), bytes.size(), address};
  UnwindRowBuilder builder;
  UnwindBlock block;
  ASSERT_TRUE(builder.Build(section, low, high, &block));
  const uint64_t step = (high - low) / 512 + 1;
  for (uint64_t after = low + 1; after <= high; after += step) {
    const UnwindRow row = block.module.Find(after);
    ASSERT_LE(RowCfa(row), CfaKind::kWide);
    if (RowCfa(row) == CfaKind::kWide) {
      ASSERT_LT(RowValue(row), block.counts.wide_rules);
    }
  }
}

TEST(EhFrame, MutatedSectionsNeverLeadAstray) {
  const ProcessMemory process;
  CodeList code;
  ASSERT_TRUE(ListCode(process, {}, &code));
  std::mt19937 random(7);
  size_t tried = 0;
  for (const LoadedObject& object : code.objects) {
    TableMemory memory;
    EhFrameSection section;
    if (object.eh_frame == 0 || !CopyEhFrame(process, object, &memory, &section)) {
      continue;
    }
    const std::vector<uint8_t> original(section.data, section.data + section.size);
    const size_t size = std::min<size_t>(original.size(), 6000);
    for (int round = 0; round < 400; ++round, ++tried) {
      // Copied to its exact size on the heap: a sanitizer sees every byte too far.
      std::vector<uint8_t> bytes(original.begin(), original.begin() + size - random() % size);
      for (auto hits = 1 + random() % 20; hits > 0; --hits) {
        bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
      }
      CheckHostile(bytes, section.address, object.text_low, object.text_high);
    }
  }
  EXPECT_GE(tried, 1000u);
}

TEST(EhFrame, RandomBytesNeverLeadAstray) {
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint8_t> bytes(1 + random() % 300);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % (round % 2 ? 256 : 20));
    CheckHostile(bytes, kAddress, kCode, kCode + 0x10000);
  }
}

}  // namespace
}  // namespace sonde
