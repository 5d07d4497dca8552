// SPDX-License-Identifier: Apache-2.0
#include "profile/plt.h"

#include <string.h>

#include <algorithm>
#include <vector>

namespace sonde {
namespace {

constexpr uint64_t kEntryBytes = 16;      // .plt, .plt.sec
constexpr uint64_t kShortEntryBytes = 8;  // .plt.got without IBT
constexpr size_t kRelocationsPerRead = 1024;
// .rela.dyn of a browser has millions of entries; those of .plt.got come early or not at all.
constexpr uint64_t kMaxRelocations = 1 << 20;

// Every entry jumps through its GOT slot: `jmp *disp32(%rip)`, ff 25, perhaps behind endbr64 and
// bnd.
std::optional<uint64_t> GotSlot(const uint8_t* code, size_t size, uint64_t address) {
  for (size_t i = 0; i + 6 <= size; ++i) {
    if (code[i] != 0xff || code[i + 1] != 0x25) continue;
    int32_t displacement;
    memcpy(&displacement, code + i + 2, sizeof displacement);
    return address + i + 6 + static_cast<uint64_t>(int64_t{displacement});
  }
  return std::nullopt;
}

std::optional<Elf64_Rela> FindIn(const ElfFile& elf, const ElfSection& section, uint64_t slot) {
  std::vector<Elf64_Rela> entries(kRelocationsPerRead);
  const uint64_t count = std::min(section.size / sizeof(Elf64_Rela), kMaxRelocations);
  for (uint64_t first = 0; first < count; first += kRelocationsPerRead) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(count - first, kRelocationsPerRead));
    const uint64_t at = section.offset + first * sizeof(Elf64_Rela);
    if (!elf.ReadExact(at, entries.data(), n * sizeof(Elf64_Rela))) return std::nullopt;
    const auto end = entries.begin() + static_cast<ptrdiff_t>(n);
    const auto found =
        std::find_if(entries.begin(), end, [&](const Elf64_Rela& r) { return r.r_offset == slot; });
    if (found != end) return *found;
  }
  return std::nullopt;
}

// .rela.plt is the last of the relocation sections and the likeliest.
std::optional<Elf64_Rela> FindRelocation(const ElfFile& elf, uint64_t slot) {
  const auto& sections = elf.sections();
  for (auto section = sections.rbegin(); section != sections.rend(); ++section) {
    if (section->kind != ElfSection::Kind::kRela) continue;
    if (const auto found = FindIn(elf, *section, slot)) return found;
  }
  return std::nullopt;
}

std::string DynamicName(const ElfFile& elf, uint64_t index) {
  const ElfSection* table = elf.FindSection(ElfSection::Kind::kDynsym);
  Elf64_Sym symbol;
  if (table == nullptr || index >= table->size / sizeof symbol) return "";
  if (!elf.ReadExact(table->offset + index * sizeof symbol, &symbol, sizeof symbol)) return "";
  return elf.ReadName(*table, symbol.st_name);
}

std::optional<uint64_t> SlotOfEntry(const ElfFile& elf, uint64_t start, uint64_t size) {
  uint8_t code[kEntryBytes];
  const auto offset = elf.AddressToOffset(start);
  if (!offset || !elf.ReadExact(*offset, code, static_cast<size_t>(size))) return std::nullopt;
  return GotSlot(code, static_cast<size_t>(size), start);
}

}  // namespace

std::optional<PltEntry> FindPltEntry(const ElfFile& elf, uint64_t address) {
  const ElfSection* section = elf.CodeSectionAt(address);
  if (section == nullptr || section->kind != ElfSection::Kind::kPlt || !elf.is_x86_64()) {
    return std::nullopt;
  }
  const uint64_t size = section->entry_size == kShortEntryBytes ? kShortEntryBytes : kEntryBytes;
  return PltEntry{address - (address - section->address) % size, size};
}

PltTarget ResolvePltEntry(const ElfFile& elf, const PltEntry& entry) {
  const auto slot = SlotOfEntry(elf, entry.address, entry.size);
  const auto relocation = slot ? FindRelocation(elf, *slot) : std::nullopt;
  if (!relocation) return {};
  if (ELF64_R_TYPE(relocation->r_info) == R_X86_64_IRELATIVE) {
    return {"", static_cast<uint64_t>(relocation->r_addend)};
  }
  return {DynamicName(elf, ELF64_R_SYM(relocation->r_info)), 0};
}

}  // namespace sonde
