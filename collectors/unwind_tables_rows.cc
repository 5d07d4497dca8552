// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_rows.h"

#include <string.h>

#include <algorithm>

namespace sonde {
namespace {

constexpr int32_t kUnit = 8;
constexpr int32_t kMaxNarrowOffset = static_cast<int32_t>(kRowValueMask) * kUnit;
constexpr uint32_t kMaxNarrowRbp = 15;
// The most that was seen in one object is 70. The bound keeps hostile input from searching long.
constexpr size_t kMaxWideRules = 1024;
// Alignment between two functions. It is given the rule of a function's first instruction: that is
// the rule of the neighbours too, and saves two rows a function.
constexpr uint64_t kMaxPadding = 15;

constexpr uint32_t Value(CfaKind kind, uint32_t rbp, uint32_t value) {
  return static_cast<uint32_t>(kind) << kRowCfaShift | rbp << kRowRbpShift | value;
}

constexpr uint32_t kNoRule = Value(CfaKind::kNone, 0, 0);
constexpr uint32_t kAtEntry = Value(CfaKind::kRsp, 0, 1);

}  // namespace

bool UnwindRowBuilder::Build(const EhFrameSection& section, uint64_t low, uint64_t high,
                             UnwindBlock* out) {
  Begin(low, high);
  EhFrameReader reader(section);
  EhFrameFde fde;
  while (reader.Next(&fde)) {
    if (fde.begin < low || fde.end > high) {
      ++counts_.skipped_functions;
    } else if (!Add(fde)) {
      return false;
    }
  }
  return Finish(reader, out);
}

void UnwindRowBuilder::Begin(uint64_t low, uint64_t high) {
  functions_.Clear();
  rows_.Clear();
  buckets_.Clear();
  rules_.Clear();
  counts_ = UnwindRowCounts();
  low_ = covered_ = low;
  high_ = high;
  origin_ = low >> kBucketShift << kBucketShift;
  failed_ = false;
  AddRow(low, kNoRule);
}

bool UnwindRowBuilder::Add(const EhFrameFde& fde) {
  return fde.end <= low_ || fde.begin >= high_ || functions_.Append(fde);
}

bool UnwindRowBuilder::Finish(EhFrameReader& reader, UnwindBlock* out) {
  counts_.skipped_functions += static_cast<uint32_t>(reader.skipped());
  counts_.functions = static_cast<uint32_t>(functions_.count());
  EhFrameFde* const end = functions_.end();
  std::sort(functions_.begin(), end, [](const EhFrameFde& a, const EhFrameFde& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.program_begin < b.program_begin;
  });
  for (EhFrameFde* fde = functions_.begin(); fde != end && !failed_; ++fde) {
    if (fde + 1 != end) fde->end = std::min(fde->end, fde[1].begin);
    if (fde->begin == fde->end) continue;
    AddGap(covered_, fde->begin);
    reader.Run(*fde, [this](const UnwindRange& range) { AddRange(range); });
  }
  AddGap(covered_, high_);
  return !failed_ && Pack(out);
}

void UnwindRowBuilder::AddGap(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  const bool padding = end - begin <= kMaxPadding && last_value_ == kAtEntry;
  if (!padding) AddRow(begin, kNoRule);
  covered_ = end;
}

void UnwindRowBuilder::AddRange(const UnwindRange& range) {
  if (range.end <= covered_ || range.begin >= high_) return;
  if (range.rule.cfa == CfaKind::kNone) ++counts_.without_rule;
  AddRow(std::max(range.begin, covered_), Encode(range.rule));
  covered_ = std::min(range.end, high_);
}

void UnwindRowBuilder::AddRow(uint64_t address, uint32_t value) {
  if (rows_.count() != 0 && value == last_value_) return;
  const uint64_t offset = address + 1 - origin_;  // + 1: UnwindModule::Find
  while (buckets_.count() <= offset >> kBucketShift) {
    if (!buckets_.Append(static_cast<uint32_t>(rows_.count()))) failed_ = true;
    if (failed_) return;
  }
  // Bucket 0 starts after the row that is in force before its first one.
  if (rows_.count() == 0) buckets_.begin()[0] = 1;
  if (!rows_.Append(static_cast<uint32_t>(offset) << 24 | value)) failed_ = true;
  last_value_ = value;
}

uint32_t UnwindRowBuilder::Encode(const UnwindRule& rule) {
  if (rule.cfa == CfaKind::kNone || rule.cfa == CfaKind::kRoot || rule.cfa == CfaKind::kSignal) {
    return Value(rule.cfa, 0, 0);
  }
  const bool simple = rule.cfa == CfaKind::kRsp || rule.cfa == CfaKind::kRbp;
  const bool cfa_fits =
      rule.offset >= 0 && rule.offset <= kMaxNarrowOffset && rule.offset % kUnit == 0;
  const bool same = rule.rbp == RbpKind::kSame;
  const auto slot = static_cast<uint32_t>(-(rule.rbp_offset / kUnit) - 1);
  const bool slot_fits = rule.rbp == RbpKind::kAtCfa && rule.rbp_offset % kUnit == 0 && slot >= 1 &&
                         slot <= kMaxNarrowRbp;
  if (!simple || !cfa_fits || !(same || slot_fits)) return EncodeWide(rule);
  return Value(rule.cfa, same ? 0 : slot, static_cast<uint32_t>(rule.offset / kUnit));
}

uint32_t UnwindRowBuilder::EncodeWide(const UnwindRule& rule) {
  const UnwindRule* found = std::find(rules_.begin(), rules_.end(), rule);
  const auto number = static_cast<uint32_t>(found - rules_.begin());
  if (found == rules_.end()) {
    if (number == kMaxWideRules || !rules_.Append(rule)) {
      ++counts_.without_rule;
      return kNoRule;
    }
  }
  return Value(CfaKind::kWide, 0, number);
}

// buckets | rules | rows in one block of exactly the size.
bool UnwindRowBuilder::Pack(UnwindBlock* out) {
  const size_t bucket_count = ((high_ - origin_) >> kBucketShift) + 2;
  while (buckets_.count() < bucket_count) {
    if (!buckets_.Append(static_cast<uint32_t>(rows_.count()))) return false;
  }
  const size_t bucket_bytes = (bucket_count * sizeof(uint32_t) + kUnit - 1) / kUnit * kUnit;
  const size_t rule_bytes = rules_.count() * sizeof(UnwindRule);
  const size_t row_bytes = rows_.count() * sizeof(UnwindRow);
  out->bytes = bucket_bytes + rule_bytes + row_bytes;
  if (!out->memory.Grow(out->bytes)) return false;
  auto* const block = out->memory.As<uint8_t>();
  memcpy(block, buckets_.begin(), bucket_count * sizeof(uint32_t));
  if (rule_bytes != 0) memcpy(block + bucket_bytes, rules_.begin(), rule_bytes);
  memcpy(block + bucket_bytes + rule_bytes, rows_.begin(), row_bytes);
  out->module.low = low_;
  out->module.high = high_;
  out->module.bucket_zero =
      reinterpret_cast<uintptr_t>(block) - (origin_ >> kBucketShift) * sizeof(uint32_t);
  out->module.rules = reinterpret_cast<const UnwindRule*>(block + bucket_bytes);
  out->module.rows = reinterpret_cast<const UnwindRow*>(block + bucket_bytes + rule_bytes);
  counts_.rows = static_cast<uint32_t>(rows_.count());
  counts_.wide_rules = static_cast<uint32_t>(rules_.count());
  out->counts = counts_;
  return true;
}

UnwindTable UnwindBlock::CopyTo(void* place) const {
  memcpy(place, memory.As<void>(), bytes);
  const auto moved = [&](const void* pointer) {
    return static_cast<uint8_t*>(place) +
           (static_cast<const uint8_t*>(pointer) - memory.As<uint8_t>());
  };
  UnwindTable copy = module;
  copy.rows = reinterpret_cast<const UnwindRow*>(moved(module.rows));
  copy.rules = reinterpret_cast<const UnwindRule*>(moved(module.rules));
  copy.bucket_zero +=
      reinterpret_cast<uintptr_t>(place) - reinterpret_cast<uintptr_t>(memory.As<void>());
  return copy;
}

}  // namespace sonde
