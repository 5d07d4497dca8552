// SPDX-License-Identifier: Apache-2.0
// The parts of an ELF object that symbols and build ids need: segments, the sections of interest,
// notes. Used by mappings and symbolizer. Not thread-safe. Nothing in the file is trusted: every
// offset is checked against its size and every count against a limit. Memory: at most kMaxSegments
// + kMaxSections small records; tables and names are read on demand and never copied whole.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "profile/byte_source.h"
#include "profile/result.h"

namespace sonde {

struct ElfSection {
  enum class Kind { kCode, kPlt, kSymtab, kDynsym, kRela, kDebugData };
  Kind kind = Kind::kCode;
  uint64_t address = 0;  // link-time
  uint64_t offset = 0;   // in the file
  uint64_t size = 0;
  uint64_t entry_size = 0;
  uint64_t strings_offset = 0;  // kSymtab and kDynsym: their string table
  uint64_t strings_size = 0;

  bool Contains(uint64_t a) const { return a >= address && a - address < size; }
};

struct ElfSegment {  // PT_LOAD, PT_GNU_EH_FRAME
  uint64_t address = 0;
  uint64_t offset = 0;
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
  bool executable = false;
};

class ElfFile {
 public:
  static constexpr size_t kMaxSegments = 256;
  static constexpr size_t kMaxSections = 4096;  // kept; others are only looked at
  static constexpr size_t kMaxNameBytes = 4096;

  // 64-bit little-endian objects only; the error says what was found instead.
  static Result<std::unique_ptr<ElfFile>> Open(std::unique_ptr<ByteSource> source);

  // The object whose first bytes are mapped at [start, limit), as far as it was loaded: of its
  // symbols the dynamic ones. For files that are gone.
  static Result<std::unique_ptr<ElfFile>> OpenLoaded(const MemoryReader& reader, uint64_t start,
                                                     uint64_t limit);

  const std::vector<ElfSegment>& segments() const { return segments_; }
  const std::vector<ElfSection>& sections() const { return sections_; }
  // Lower-case hex, empty when there is none.
  const std::string& build_id() const { return build_id_; }
  // .eh_frame_hdr; without bytes: there is none.
  const ElfSegment& eh_frame_header() const { return eh_frame_header_; }
  bool is_x86_64() const { return machine_ == EM_X86_64; }

  // .symtab when it holds anything, else .dynsym, else nothing. Without section headers .dynsym is
  // what the dynamic segment says.
  const ElfSection* BestSymbolTable() const;
  const ElfSection* FindSection(ElfSection::Kind kind) const;
  // The code or PLT section that holds this link-time address; nullptr: none.
  const ElfSection* CodeSectionAt(uint64_t address) const;

  // Between the file offsets that maps shows and the addresses that symbols have. Independent of
  // where the object is loaded, so right for PIE, non-PIE and prelinked objects alike.
  std::optional<uint64_t> OffsetToAddress(uint64_t offset) const;
  std::optional<uint64_t> AddressToOffset(uint64_t address) const;

  // The name at `index` of a symbol table's string table; empty when out of range or not terminated
  // within kMaxNameBytes.
  std::string ReadName(const ElfSection& table, uint64_t index) const;
  [[nodiscard]] bool ReadExact(uint64_t offset, void* out, size_t size) const {
    return source_->ReadExact(offset, out, size);
  }
  // What of [offset, offset + size) lies inside the file.
  uint64_t ClampSize(uint64_t offset, uint64_t size) const;

 private:
  explicit ElfFile(std::unique_ptr<ByteSource> source) : source_(std::move(source)) {}
  std::optional<Error> Read();
  void ReadDynamic();
  std::optional<uint64_t> DynamicOffset(uint64_t pointer) const;
  uint64_t CountSymbols(uint64_t hash, uint64_t gnu_hash) const;
  uint64_t CountByGnuHash(uint64_t at) const;
  std::optional<Error> ReadHeader(Elf64_Ehdr* header);
  std::optional<Error> ReadSegments(const Elf64_Ehdr& header);
  void ReadSections(const Elf64_Ehdr& header);
  void KeepSection(const Elf64_Ehdr& header, const Elf64_Shdr& section, uint64_t names_offset);
  void LinkStrings(const Elf64_Ehdr& header, const Elf64_Shdr& section, ElfSection* kept) const;
  void ReadNotes(uint64_t offset, uint64_t size, uint64_t align);

  std::unique_ptr<ByteSource> source_;
  std::vector<ElfSegment> segments_;
  std::vector<ElfSection> sections_;
  ElfSegment eh_frame_header_;
  std::string build_id_;
  uint16_t machine_ = 0;
  uint64_t load_bias_ = 0;  // of an object in memory, whose loader made its pointers absolute
  uint64_t dynamic_offset_ = 0;
  uint64_t dynamic_size_ = 0;
};

// Of the object whose first bytes are mapped at [start, limit): works for the vdso and for files
// that are gone. Reads nothing outside. Empty when there is none or memory cannot be read.
std::string ReadBuildIdFromMemory(const MemoryReader& reader, uint64_t start, uint64_t limit);

}  // namespace sonde
