// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "profile/elf_file.h"
#include "profile/function_range.h"
#include "profile/plt.h"
#include "profile/symbol_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto reader = [data](uint64_t address, void* out, size_t n) {
    std::memcpy(out, data + address, n);
    return true;
  };
  const auto elf = sonde::ElfFile::Open(sonde::OpenMemory(reader, 0, size));
  if (!elf) return 0;
  sonde::SymbolIndex index(**elf, 64);
  for (const sonde::ElfSection& section : (*elf)->sections()) {
    for (const uint64_t at : {uint64_t{0}, section.size / 2, section.size - 1}) {
      const uint64_t address = section.address + at;
      if (const auto function = index.Find(address)) (void)index.Name(*function);
      if (const auto range = sonde::FindFunctionRange(**elf, address)) {
        if (address - range->address >= range->size) __builtin_trap();
      }
      if (const auto plt = sonde::FindPltEntry(**elf, address)) {
        (void)sonde::ResolvePltEntry(**elf, *plt);
      }
    }
  }
  return 0;
}
