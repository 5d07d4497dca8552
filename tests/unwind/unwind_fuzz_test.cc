// SPDX-License-Identifier: Apache-2.0
// Bytes of .eh_frame and .eh_frame_hdr with mistakes in them, through the readers of whole sections
// and of pieces found by the search table; then walks by what came of it. Nothing may fault or
// hang, and every row has to be one that the walker can follow. SONDE_FUZZ_ROUNDS: how many, for
// long runs; SONDE_FUZZ_SEED: another start.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <random>
#include <vector>

#include "collectors/process_memory.h"
#include "collectors/unwind_tables_objects.h"
#include "collectors/unwind_tables_rows.h"
#include "collectors/unwind_tables_section.h"
#include "walk_testing.h"

namespace sonde {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const value = getenv(name);
  return value != nullptr ? strtoull(value, nullptr, 10) : otherwise;
}

// The first bytes of a real object's header and .eh_frame, moved to a buffer together with what
// they refer to: distances stay right.
class Sample {
 public:
  explicit Sample(const ProcessMemory& memory) {
    std::vector<uint64_t> dynamics;
    CodeList code;
    if (!ListCode(memory, dynamics, &code)) return;
    for (const LoadedObject& object : code.objects) {
      const bool near = object.functions >= 50 && object.search_table < object.eh_frame &&
                        object.eh_frame - object.search_table < kMostBytes / 2;
      if (!near) continue;
      const uint64_t start = object.search_table - kHeader;
      original_.resize(std::min(kMostBytes, object.eh_frame_limit - start));
      ok_ = memory.Read(start, original_.data(), original_.size());
      object_ = object;
      bytes_ = original_;
      Move(start);
      return;
    }
  }
  bool ok() const { return ok_; }
  const LoadedObject& object() const { return object_; }

  void Damage(std::mt19937_64& random, int changes) {
    bytes_ = original_;
    for (; changes > 0; --changes) {
      const size_t at = random() % bytes_.size();
      bytes_[at] = random() % 4 == 0 ? 0xff : static_cast<uint8_t>(random());
    }
  }
  EhFrameSection section() const {
    const uint64_t offset = object_.eh_frame - reinterpret_cast<uint64_t>(bytes_.data());
    return {bytes_.data() + offset, bytes_.size() - offset, object_.eh_frame};
  }

 private:
  static constexpr uint64_t kHeader = 12;
  static constexpr uint64_t kMostBytes = 64 << 10;
  void Move(uint64_t start) {
    const uint64_t by = reinterpret_cast<uint64_t>(bytes_.data()) - start;
    for (uint64_t* place :
         {&object_.search_table, &object_.eh_frame, &object_.text_low, &object_.text_high}) {
      *place += by;
    }
    object_.eh_frame_limit = reinterpret_cast<uint64_t>(bytes_.data()) + bytes_.size();
  }

  std::vector<uint8_t> original_, bytes_;
  LoadedObject object_;
  bool ok_ = false;
};

// Reads every row, and walks by it on a stack of nonsense.
void Follow(const UnwindBlock& block, std::mt19937_64& random) {
  const UnwindTable& table = block.module;
  UnwindModule module{table};
  const uintptr_t low = table.low;
  const UnwindIndex index{1, &low, &module};
  // A mapping of its own: a walk may leave it, which sanitizers forbid on arrays.
  static auto* const stack = static_cast<uint64_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  uint64_t frames[32];
  ASSERT_NE(stack, MAP_FAILED);
  for (int i = 0; i < 512; ++i) stack[i] = table.low + random() % (table.high - table.low);
  for (int i = 0; i < 64; ++i) {
    const uint64_t pc = table.low + random() % (table.high - table.low);
    const UnwindRow row = table.Find(pc + 1);
    ASSERT_TRUE(RowCfa(row) != CfaKind::kWide || RowValue(row) < block.counts.wide_rules);
    Registers registers;
    for (uint64_t& value : registers.gpr)
      value = reinterpret_cast<uint64_t>(&stack[random() % 512]);
    registers.gpr[kRip] = pc;
    const WalkResult result = WalkStack(&index, registers, StackBounds(), frames, 32);
    ASSERT_GE(result.depth, 1u);
    ASSERT_LE(result.depth, 32u);
  }
}

TEST(UnwindFuzz, DamagedSectionsGiveRowsThatCanBeFollowed) {
  const ProcessMemory memory;
  Sample sample(memory);
  ASSERT_TRUE(sample.ok());
  const uint64_t rounds = FromEnvironment("SONDE_FUZZ_ROUNDS", 300);
  std::mt19937_64 random(FromEnvironment("SONDE_FUZZ_SEED", 20261121));
  uint64_t built = 0, rows = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    sample.Damage(random, static_cast<int>(round % 200));
    const uint64_t low = sample.object().text_low;
    const uint64_t high = std::min(sample.object().text_high, low + (256 << 10));
    UnwindRowBuilder builder;
    UnwindBlock whole, piece;
    ASSERT_TRUE(builder.Build(sample.section(), low, high, &whole));
    Follow(whole, random);
    PartialSection partial(memory, sample.object());
    if (partial.Build(low, high, builder, &piece) != PartialSection::Outcome::kBuilt) continue;
    Follow(piece, random);
    ++built;
    rows += piece.counts.rows;
  }
  printf("%lu rounds, %lu by the search table, %lu rows\n", rounds, built, rows);
  EXPECT_GT(built, rounds / 2);
  EXPECT_GT(rows, rounds);
}

}  // namespace
}  // namespace sonde
