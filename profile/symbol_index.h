// SPDX-License-Identifier: Apache-2.0
// Address -> function of one ELF object: a sorted table of 12 bytes a symbol; names stay in the
// file. Used by symbolizer. Not thread-safe. Memory: at most max_entries * 12 bytes, plus a 16 KiB
// histogram for an object with more symbols than that. Of such an object the table holds one window
// of addresses, and moves when an address outside is asked for; whoever asks in address order pays
// one pass a window.
//
//   entries_   [rel 0x1000 size 0x20 #7][rel 0x1020 size 0 #3][rel 0x1020 size 0x8 #9] ...
//              rel: link-time address minus base_; #: ordinal in the symbol table, where the name
//              is
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "profile/elf_file.h"

namespace sonde {

class SymbolIndex {
 public:
  struct Function {
    uint64_t address = 0;  // link-time
    uint64_t size = 0;     // 0 in the object: up to the next symbol or the end of the section
    size_t entry = 0;      // for Name()
  };

  // Reads nothing before the first Find(). `elf` must outlive the index.
  SymbolIndex(const ElfFile& elf, size_t max_entries);

  // The function that holds this link-time address. Functions with a size win; a symbol without one
  // (assembly) counts up to the next symbol of its section.
  std::optional<Function> Find(uint64_t address);
  // Its best name as it stands in the object: global before local, then fewest leading underscores,
  // then shortest. Without symbol version. Valid until the next Find().
  std::string Name(const Function& function) const;

  size_t entry_count() const { return entries_.size(); }
  size_t memory_bytes() const;

 private:
  struct Entry {
    uint32_t rel;
    uint32_t size;
    uint32_t ordinal;
  };

  bool Load(uint32_t rel);
  bool InWindow(uint32_t rel) const { return loaded_ && rel >= window_begin_ && rel < window_end_; }
  void Count();
  void ChooseWindow(uint32_t rel);
  void Fill();
  template <class Visit>
  void ForEachFunction(Visit visit) const;
  std::optional<Entry> ToEntry(const Elf64_Sym& symbol, uint32_t ordinal) const;
  uint64_t EndOfUnsized(size_t entry) const;
  bool SameSection(uint32_t a, uint32_t b) const;

  const ElfFile& elf_;
  const ElfSection* table_;  // nullptr: no symbols
  const size_t max_entries_;
  uint64_t base_ = 0;
  uint64_t span_ = 0;  // of the code, at most 4 GiB
  bool loaded_ = false;
  uint64_t window_begin_ = 0;
  uint64_t window_end_ = 0;
  size_t total_ = 0;  // functions in the object
  uint64_t bucket_bytes_ = 1;
  std::vector<uint32_t> histogram_;  // functions a bucket; only when total_ > max_entries_
  std::vector<Entry> entries_;
};

}  // namespace sonde
