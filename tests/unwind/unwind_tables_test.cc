// SPDX-License-Identifier: Apache-2.0
// The life of the tables: what is covered, what changes when objects come and go, what is freed.
#include "collectors/unwind_tables.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "collectors/safe/unwind.h"
#include "collectors/unwind_tables_entry.h"

namespace sonde {
namespace {

const UnwindModuleStatus* FindModule(const UnwindStatus& status, const std::string& part) {
  const auto found =
      std::find_if(status.modules.begin(), status.modules.end(),
                   [&](const auto& module) { return module.name.find(part) != std::string::npos; });
  return found == status.modules.end() ? nullptr : &*found;
}

bool Covers(UnwindPublication& publication, const void* pc) {
  const UnwindPublication::Reader reader(publication);
  const UnwindModule* module = reader.index()->Find(reinterpret_cast<uintptr_t>(pc));
  return module != nullptr && module->rows != nullptr;
}

TEST(UnwindTables, EverythingLoadedIsCoveredAndListed) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  ASSERT_TRUE(tables.Refresh());
  const UnwindStatus status = tables.Status();
  const UnwindModuleStatus* libc = FindModule(status, "libc.so");
  ASSERT_NE(libc, nullptr);
  EXPECT_EQ(libc->coverage, UnwindCoverage::kCovered);
  EXPECT_GT(libc->counts.rows, 10000u);
  EXPECT_LT(libc->text_low, libc->text_high);
  const UnwindModuleStatus* program = FindModule(status, "unwind_tables_test");
  ASSERT_NE(program, nullptr);
  EXPECT_EQ(program->coverage, UnwindCoverage::kCovered);
  ASSERT_NE(FindModule(status, "[vdso]"), nullptr);
  EXPECT_EQ(FindModule(status, "[vdso]")->coverage, UnwindCoverage::kCovered);
  EXPECT_EQ(status.problem, nullptr);
  EXPECT_EQ(status.other_code_ranges, 0u);
  EXPECT_TRUE(Covers(publication, reinterpret_cast<void*>(&qsort)));
  EXPECT_LE(status.bytes, kDefaultUnwindBudgetBytes);
}

TEST(UnwindTables, NothingIsDoneWhileNothingChanges) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  ASSERT_TRUE(tables.Refresh());
  EXPECT_FALSE(tables.Refresh());
  publication.NoteUnknownPc();  // looked into, and nothing new is found
  EXPECT_FALSE(tables.Refresh());
  EXPECT_EQ(tables.Status().refreshes, 1u);
}

TEST(UnwindTables, ALoadedObjectIsCoveredAndOthersAreNotBuiltAgain) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  const auto rows_of_libc = [&] {
    const UnwindPublication::Reader reader(publication);
    return reader.index()->Find(reinterpret_cast<uintptr_t>(&qsort))->rows;
  };
  const UnwindRow* const before = rows_of_libc();
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  const void* const function = dlsym(plugin, "PluginAnswer");
  EXPECT_FALSE(Covers(publication, function));
  EXPECT_TRUE(tables.Refresh());
  EXPECT_TRUE(Covers(publication, function));
  EXPECT_EQ(rows_of_libc(), before);
  dlclose(plugin);
  EXPECT_TRUE(tables.Refresh());
  EXPECT_FALSE(Covers(publication, function));
  EXPECT_EQ(FindModule(tables.Status(), "plugin"), nullptr);
}

TEST(UnwindTables, ATableInUseIsKeptUntilItsReaderIsDone) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  const auto pc = reinterpret_cast<uintptr_t>(dlsym(plugin, "PluginAnswer"));
  tables.Refresh();
  std::optional<UnwindPublication::Reader> reader(std::in_place, publication);
  const UnwindModule* const module = reader->index()->Find(pc);
  dlclose(plugin);
  for (int i = 0; i < 5; ++i) tables.Refresh();
  EXPECT_GT(tables.Status().retired_bytes, 0u);
  // Would fault if it were gone.
  EXPECT_LE(RowCfa(module->Find(pc + 1)), CfaKind::kWide);
  reader.reset();
  for (int i = 0; i < 3; ++i) tables.Refresh();
  EXPECT_EQ(tables.Status().retired_bytes, 0u);
}

TEST(UnwindTables, BusyReadersDoNotKeepOldTablesForEver) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  void* const plugin = dlopen(SONDE_TEST_PLUGIN, RTLD_NOW);
  ASSERT_NE(plugin, nullptr) << dlerror();
  // There is always one reader: the next comes before the last goes.
  auto reader = std::make_unique<UnwindPublication::Reader>(publication);
  for (int i = 0; i < 6; ++i) {
    tables.Refresh();
    auto next = std::make_unique<UnwindPublication::Reader>(publication);
    reader = std::move(next);
  }
  EXPECT_EQ(tables.Status().retired_bytes, 0u);
  reader.reset();
  dlclose(plugin);
}

TEST(UnwindTables, WhatExceedsTheBudgetIsBuiltOnDemand) {
  constexpr size_t kSmall = 64 << 10;
  UnwindPublication publication;
  UnwindTables tables(publication, kSmall);
  ASSERT_TRUE(tables.Refresh());
  const UnwindStatus status = tables.Status();
  ASSERT_NE(FindModule(status, "libc.so"), nullptr);
  EXPECT_EQ(FindModule(status, "libc.so")->coverage, UnwindCoverage::kOnDemand);
  EXPECT_EQ(FindModule(status, "libc.so")->bytes, 0u);
  EXPECT_LE(status.bytes, kSmall);
  EXPECT_FALSE(Covers(publication, reinterpret_cast<void*>(&qsort)));
}

UnwindCoverage CoverageWith(LoadedObject object, uint32_t functions, bool is_program) {
  const ProcessMemory memory;
  TableArena arena(1 << 20);
  UnwindBuildTools tools{memory, arena, 1 << 20};
  object.functions = functions;
  object.is_program = is_program;
  UnwindEntry entry(std::move(object));
  entry.Build(tools);
  return entry.coverage();
}

// Of a large library a service walks through a few chunks, of itself through most.
TEST(UnwindTables, LargeLibrariesAreBuiltOnDemandEarlierThanTheProgram) {
  const ProcessMemory memory;
  CodeList code;
  ASSERT_TRUE(ListCode(memory, {}, &code));
  const auto own = reinterpret_cast<uint64_t>(&CoverageWith);
  const auto program = std::find_if(
      code.objects.begin(), code.objects.end(),
      [&](const auto& object) { return own >= object.text_low && own < object.text_high; });
  ASSERT_NE(program, code.objects.end());
  EXPECT_TRUE(program->is_program);
  EXPECT_EQ(CoverageWith(*program, 8'000, false), UnwindCoverage::kCovered);
  EXPECT_EQ(CoverageWith(*program, 8'001, false), UnwindCoverage::kOnDemand);
  EXPECT_EQ(CoverageWith(*program, 20'000, true), UnwindCoverage::kCovered);
  EXPECT_EQ(CoverageWith(*program, 20'001, true), UnwindCoverage::kOnDemand);
}

const UnwindModuleStatus* ModuleAt(const UnwindStatus& status, const void* pc) {
  const auto at = reinterpret_cast<uint64_t>(pc);
  for (const UnwindModuleStatus& module : status.modules) {
    if (at >= module.text_low && at < module.text_high) return &module;
  }
  return nullptr;
}

// The room for whole tables is given out in the order of addresses; in a service the agent's
// library is among the last.
TEST(UnwindTables, OurOwnCodeComesFirst) {
  const auto* const own = reinterpret_cast<const void*>(&WalkCopiedStack);
  const int file = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);
  struct stat about;
  ASSERT_EQ(fstat(file, &about), 0);
  const auto size = static_cast<size_t>(about.st_size);
  auto* const hint = reinterpret_cast<void*>(uint64_t{1} << 33);
  void* const other = mmap(hint, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  close(file);
  ASSERT_LT(other, own);
  const auto* const in_other = static_cast<const uint8_t*>(other) + size / 2;
  size_t room = 0;  // for either, and not for both
  {
    UnwindPublication publication;
    UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
    tables.Refresh();
    const UnwindStatus status = tables.Status();
    ASSERT_NE(ModuleAt(status, in_other), nullptr);
    ASSERT_NE(ModuleAt(status, own), nullptr);
    const size_t sizes[] = {ModuleAt(status, own)->bytes, ModuleAt(status, in_other)->bytes};
    ASSERT_GT(std::min(sizes[0], sizes[1]), 8192u);
    room = std::max(sizes[0], sizes[1]) + 4096;
  }
  UnwindPublication publication;
  UnwindTables tables(publication, 2 * room);  // half is for whole ones
  tables.Refresh();
  EXPECT_EQ(ModuleAt(tables.Status(), own)->coverage, UnwindCoverage::kCovered);
  EXPECT_EQ(ModuleAt(tables.Status(), in_other)->coverage, UnwindCoverage::kOnDemand);
  munmap(other, size);
}

TEST(UnwindTables, WithoutAnyBudgetNothingIsPublishedAndTheStatusSaysSo) {
  UnwindPublication publication;
  UnwindTables tables(publication, 0);
  tables.Refresh();
  tables.BuildMissed();
  EXPECT_NE(tables.Status().problem, nullptr);
  const UnwindPublication::Reader reader(publication);
  EXPECT_EQ(reader.index(), nullptr);
}

TEST(UnwindTables, NewExecutableMemoryIsKnownAfterAnUnknownPc) {
  UnwindPublication publication;
  UnwindTables tables(publication, kDefaultUnwindBudgetBytes);
  tables.Refresh();
  void* const code =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(code, MAP_FAILED);
  Registers registers;
  CaptureRegisters(&registers);
  registers.gpr[kRip] = reinterpret_cast<uint64_t>(code) + 5;
  uint64_t frames[4];
  EXPECT_TRUE(WalkStack(publication, registers, StackBounds(), frames, 4).unknown_pc);
  EXPECT_TRUE(tables.Refresh());
  EXPECT_FALSE(WalkStack(publication, registers, StackBounds(), frames, 4).unknown_pc);
  munmap(code, 4096);
}

}  // namespace
}  // namespace sonde
