// SPDX-License-Identifier: Apache-2.0
// Tables that are built in chunks, when a walk has missed them: that they say what a whole table
// says, that misses are counted and lead to complete stacks, and that the budget holds.
#include <gtest/gtest.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables.h"
#include "collectors/unwind_tables_arena.h"
#include "collectors/unwind_tables_section.h"

namespace sonde {
namespace {

constexpr size_t kSmallBudget = 64 << 10;  // libc's table does not fit into half of it

UnwindRule RuleAt(const UnwindTable& table, uint64_t pc) {
  const UnwindRow row = table.Find(pc + 1);
  UnwindRule rule;
  rule.cfa = RowCfa(row);
  if (rule.cfa == CfaKind::kWide) return table.rules[RowValue(row)];
  rule.offset = static_cast<int32_t>(RowValue(row));
  rule.rbp_offset = static_cast<int32_t>(RowRbp(row));
  return rule;
}

// Padding between functions is the one thing that may differ, where a chunk's border cuts it.
struct Comparison {
  size_t compared = 0;
  size_t differ = 0;
};

void CompareChunk(const ProcessMemory& memory, const LoadedObject& object, uint64_t low,
                  const UnwindTable& whole, Comparison* result) {
  const uint64_t high = std::min((low | (kUnwindChunkBytes - 1)) + 1, object.text_high);
  PartialSection section(memory, object);
  UnwindRowBuilder builder;
  UnwindBlock block;
  ASSERT_EQ(section.Build(low, high, builder, &block), PartialSection::Outcome::kBuilt);
  for (uint64_t pc = low; pc < high; pc += 3) {
    ++result->compared;
    result->differ += RuleAt(block.module, pc) == RuleAt(whole, pc) ? 0 : 1;
  }
}

TEST(UnwindDemand, ChunksSayWhatTheWholeTableSays) {
  const ProcessMemory memory;
  CodeList code;
  ASSERT_TRUE(ListCode(memory, {}, &code));
  int objects = 0;
  for (const LoadedObject& object : code.objects) {
    TableMemory copy;
    EhFrameSection section;
    UnwindRowBuilder builder;
    UnwindBlock whole;
    if (object.functions == 0 || !CopyEhFrame(memory, object, &copy, &section)) continue;
    ASSERT_TRUE(builder.Build(section, object.text_low, object.text_high, &whole));
    Comparison result;
    for (uint64_t low = object.text_low; low < object.text_high;
         low = (low | (kUnwindChunkBytes - 1)) + 1) {
      CompareChunk(memory, object, low, whole.module, &result);
    }
    printf("%s: %zu pcs, %zu differ\n", object.name.c_str(), result.compared, result.differ);
    EXPECT_LE(result.differ * 20'000, result.compared + 20'000) << object.name;
    ++objects;
  }
  EXPECT_GE(objects, 4);
}

UnwindModuleStatus Libc(const UnwindTables& tables) {
  for (const auto& module : tables.Status().modules) {
    if (module.name.find("libc.so") != std::string::npos) return module;
  }
  return {};
}

UnwindPublication* g_publication;
WalkResult g_walk;
uint64_t g_frames[256];

int WalkFromLibc(const void* a, const void* b) {
  Registers registers;
  CaptureRegisters(&registers);
  g_walk = WalkStack(*g_publication, registers, StackBounds(), g_frames, 256);
  return *static_cast<const int*>(a) - *static_cast<const int*>(b);
}

// Not by qsort: a sanitizer has its own.
__attribute__((noinline)) void WalkThroughLibc(UnwindPublication& publication) {
  const int wanted = 1;
  const int numbers[] = {2};
  size_t count = 1;
  g_publication = &publication;
  ASSERT_EQ(lfind(&wanted, numbers, &count, sizeof(numbers[0]), WalkFromLibc), nullptr);
}

TEST(UnwindDemand, AMissIsCountedAndTheChunkIsThereTheNextTime) {
  // A sanitizer's libraries want their share.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kBudget = 224 << 10;
#else
  constexpr size_t kBudget = 160 << 10;
#endif
  UnwindPublication publication;
  UnwindTables tables(publication, kBudget);
  ASSERT_TRUE(tables.Refresh());
  ASSERT_EQ(Libc(tables).coverage, UnwindCoverage::kOnDemand);
  EXPECT_FALSE(tables.BuildMissed());
  WalkThroughLibc(publication);
  EXPECT_TRUE(g_walk.not_built);
  EXPECT_FALSE(g_walk.unknown_pc);
  EXPECT_GE(g_walk.depth, 1u);
  EXPECT_GE(tables.Status().misses, 1u);
  int rounds = 0;
  // A walk that is cut asks for what it misses, and by guess for its callers.
  for (; (g_walk.end != StackEnd::kRoot || g_walk.not_built) && rounds < 12; ++rounds) {
    EXPECT_TRUE(tables.BuildMissed());
    WalkThroughLibc(publication);
  }
  EXPECT_EQ(g_walk.end, StackEnd::kRoot);
  EXPECT_FALSE(g_walk.not_built);
  EXPECT_GE(tables.Status().chunks_built, 2u);
  EXPECT_LE(tables.Status().bytes, kBudget);
}

TEST(UnwindDemand, AWalkThatMissesATableSaysSo) {
  UnwindPublication publication;
  UnwindTables tables(publication, kSmallBudget);
  ASSERT_TRUE(tables.Refresh());
  Registers registers = {};
  uint64_t stack[8] = {};
  registers.gpr[kRip] = reinterpret_cast<uint64_t>(&qsort) + 40;
  registers.gpr[kRsp] = reinterpret_cast<uint64_t>(stack);
  uint64_t frames[8];
  const WalkResult walk = WalkStack(publication, registers, StackBounds(), frames, 8);
  EXPECT_EQ(walk.depth, 1u);
  EXPECT_EQ(walk.end, StackEnd::kTableNotBuilt);
}

// The first `count` chunks of libc's code, from `first` on, as a walk would ask for them.
void Ask(UnwindPublication& publication, const UnwindModuleStatus& libc, size_t first,
         size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    publication.misses().Ask(libc.text_low + i * kUnwindChunkBytes);
  }
}

bool Covers(UnwindPublication& publication, uint64_t pc) {
  const UnwindPublication::Reader reader(publication);
  const UnwindModule* module = reader.index()->Find(pc);
  return module != nullptr && module->rows != nullptr;
}

TEST(UnwindDemand, ChunksInUseStayAndIdleOnesMakeRoom) {
  UnwindPublication publication;
  UnwindTables tables(publication, kSmallBudget);
  ASSERT_TRUE(tables.Refresh());
  const UnwindModuleStatus libc = Libc(tables);
  const uint64_t used = libc.text_low + 10;
  const uint64_t idle = libc.text_low + kUnwindChunkBytes;
  Ask(publication, libc, 0, 2);
  ASSERT_TRUE(tables.BuildMissed());
  ASSERT_TRUE(Covers(publication, used));
  ASSERT_TRUE(Covers(publication, idle));
  uint64_t without_index = 0;
  for (size_t turn = 0; turn < 4 * UnwindTables::kIdleClock; ++turn) {
    {
      const UnwindPublication::Reader reader(publication);
      if (reader.index() != nullptr) reader.index()->Find(used)->Touch();
      without_index += reader.index() == nullptr ? 1 : 0;
    }
    Ask(publication, libc, 2 + turn % 15, 4);
    tables.Refresh();
    tables.BuildMissed();
    EXPECT_LE(tables.Status().bytes, kSmallBudget);
  }
  // In an arena this full there may be no piece for a new index until the turn after an eviction:
  // counted, and seldom.
  EXPECT_LE(without_index, tables.Status().failures);
  EXPECT_LE(without_index, 2u);
  EXPECT_TRUE(Covers(publication, used));
  EXPECT_FALSE(Covers(publication, idle));
  EXPECT_GT(tables.Status().chunks_evicted, 0u);
  EXPECT_GT(tables.Status().chunks_refused, 0u);
}

TEST(UnwindDemand, AnEvictedChunkIsKeptWhileAWalkerReadsIt) {
  UnwindPublication publication;
  UnwindTables tables(publication, kSmallBudget);
  ASSERT_TRUE(tables.Refresh());
  const UnwindModuleStatus libc = Libc(tables);
  Ask(publication, libc, 0, 1);
  ASSERT_TRUE(tables.BuildMissed());
  const UnwindPublication::Reader reader(publication);
  const UnwindTable table = *reader.index()->Find(libc.text_low + 10);
  const UnwindRow row = table.Find(libc.text_low + 100);
  for (size_t turn = 0; turn < 4 * UnwindTables::kIdleClock; ++turn) {
    Ask(publication, libc, 1 + turn % 16, 4);
    tables.Refresh();
    tables.BuildMissed();
  }
  EXPECT_FALSE(Covers(publication, libc.text_low + 10));
  EXPECT_EQ(table.Find(libc.text_low + 100), row);
  EXPECT_GT(tables.Status().retired_bytes, 0u);
}

TEST(UnwindDemand, MissesOfManyChunksAtOnceAreAskedForAgain) {
  UnwindMisses misses;
  for (uint64_t chunk = 1; chunk <= 100; ++chunk) misses.Ask(chunk << kUnwindChunkShift);
  size_t taken = 0;
  misses.TakeAll([&](uint64_t low) {
    EXPECT_EQ(low % kUnwindChunkBytes, 0u);
    ++taken;
  });
  EXPECT_EQ(taken, size_t{UnwindMisses::kSlots});
  EXPECT_FALSE(misses.any());
}

TEST(TableArena, PiecesNeverOverlapAndAllComesBack) {
  TableArena arena(256 << 10);
  std::mt19937 random(5);
  std::vector<ArenaPiece> pieces;
  for (int round = 0; round < 20'000; ++round) {
    if (random() % 2 == 0 || pieces.empty()) {
      const ArenaPiece piece = arena.Allocate(1 + random() % 9000);
      if (piece.data == nullptr) continue;
      memset(piece.data, static_cast<int>(pieces.size() % 251), piece.size);
      for (const ArenaPiece& other : pieces) {
        const auto* const begin = static_cast<const uint8_t*>(other.data);
        ASSERT_TRUE(piece.data >= begin + other.size ||
                    static_cast<const uint8_t*>(piece.data) + piece.size <= begin);
      }
      pieces.push_back(piece);
    } else {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      arena.Free(pieces.back());
      pieces.pop_back();
    }
  }
  for (const ArenaPiece& piece : pieces) arena.Free(piece);
  EXPECT_EQ(arena.used(), 0u);
  EXPECT_EQ(arena.Allocate(256 << 10).size, size_t{256 << 10});
}

TEST(TableArena, FreeingReturnsPagesAndLeavesNeighboursAlone) {
  TableArena arena(64 << 10);
  const ArenaPiece left = arena.Allocate(6000), middle = arena.Allocate(20'000),
                   right = arena.Allocate(6000);
  memset(left.data, 1, left.size);
  memset(middle.data, 2, middle.size);
  memset(right.data, 3, right.size);
  arena.Free(middle);
  const auto all = [](const ArenaPiece& piece, uint8_t value) {
    const auto* const bytes = static_cast<const uint8_t*>(piece.data);
    return std::all_of(bytes, bytes + piece.size, [&](uint8_t byte) { return byte == value; });
  };
  EXPECT_TRUE(all(left, 1));
  EXPECT_TRUE(all(right, 3));
  // Its pages are empty again.
  EXPECT_EQ(static_cast<const uint8_t*>(middle.data)[8192], 0);
}

}  // namespace
}  // namespace sonde
