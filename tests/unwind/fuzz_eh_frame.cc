// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: any bytes as .eh_frame.
#include "collectors/unwind_tables_rows.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr uint64_t kLow = 0x20000, kHigh = 0x40000;
  sonde::UnwindRowBuilder builder;
  sonde::UnwindBlock block;
  if (!builder.Build({data, size, 0x10000}, kLow, kHigh, &block)) return 0;
  for (uint64_t after = kLow + 1; after <= kHigh; after += 61) {
    const sonde::UnwindRow row = block.module.Find(after);
    const bool wide = sonde::RowCfa(row) == sonde::CfaKind::kWide;
    if (wide && sonde::RowValue(row) >= block.counts.wide_rules) __builtin_trap();
  }
  return 0;
}
