// SPDX-License-Identifier: Apache-2.0
#include "profile/elf_file.h"

#include <string.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "profile/hex.h"

namespace sonde {
namespace {

constexpr uint64_t kMaxNoteBytes = 1 << 20;  // node carries 256 notes; nobody needs a megabyte
constexpr size_t kMaxBuildIdBytes = 64;
constexpr uint64_t kMaxSectionHeaders = 1 << 20;
constexpr uint32_t kMaxHashBuckets = 1 << 18;
constexpr uint64_t kMaxHashChain = 1 << 16;

std::string Decimal(uint64_t value) { return std::to_string(value); }

std::optional<Error> CheckIdent(const Elf64_Ehdr& header) {
  const auto* ident = header.e_ident;
  if (memcmp(ident, ELFMAG, SELFMAG) != 0) {
    return Error{"not an ELF object: starts with " + HexBytes({ident, SELFMAG}) +
                 ", expected 7f454c46"};
  }
  if (ident[EI_CLASS] != ELFCLASS64) {
    return Error{"ELF class " + Decimal(ident[EI_CLASS]) +
                 ": only 64-bit objects (2) are supported"};
  }
  if (ident[EI_DATA] != ELFDATA2LSB) {
    return Error{"ELF byte order " + Decimal(ident[EI_DATA]) +
                 ": only little endian (1) is supported"};
  }
  return std::nullopt;
}

// A loaded object, seen as the file that it came from: what was not loaded cannot be read.
class LoadedFile : public ByteSource {
 public:
  LoadedFile(MemoryReader reader, uint64_t bias, std::vector<ElfSegment> segments)
      : reader_(std::move(reader)), bias_(bias), segments_(std::move(segments)) {}

  uint64_t size() const override {
    uint64_t end = 0;
    for (const ElfSegment& s : segments_) end = std::max(end, s.offset + s.file_size);
    return end;
  }

  size_t ReadAt(uint64_t offset, void* out, size_t size) const override {
    for (const ElfSegment& s : segments_) {
      if (offset < s.offset || offset - s.offset >= s.file_size) continue;
      const uint64_t inside = offset - s.offset;
      size = static_cast<size_t>(std::min<uint64_t>(size, s.file_size - inside));
      return reader_(bias_ + s.address + inside, out, size) ? size : 0;
    }
    return 0;
  }

 private:
  MemoryReader reader_;
  uint64_t bias_;
  std::vector<ElfSegment> segments_;
};

std::unique_ptr<ByteSource> OpenLoadedFile(MemoryReader reader, uint64_t bias,
                                           std::vector<ElfSegment> segments) {
  return std::make_unique<LoadedFile>(std::move(reader), bias, std::move(segments));
}

uint64_t AlignUp(uint64_t value, uint64_t align) { return (value + align - 1) & ~(align - 1); }

// Calls visit(type, name, description) for each note; stops at the first that does not fit.
template <class Visit>
void ForEachNote(std::string_view notes, uint64_t align, Visit visit) {
  uint64_t at = 0;
  while (at + sizeof(Elf64_Nhdr) <= notes.size()) {
    Elf64_Nhdr note;
    memcpy(&note, notes.data() + at, sizeof note);
    const uint64_t name_at = at + sizeof note;
    const uint64_t data_at = AlignUp(name_at + note.n_namesz, align);
    const uint64_t end = data_at + note.n_descsz;
    if (end > notes.size() || data_at > notes.size()) return;
    visit(note.n_type, notes.substr(name_at, note.n_namesz), notes.substr(data_at, note.n_descsz));
    at = AlignUp(end, align);
  }
}

ElfSection::Kind CodeKind(std::string_view name) {
  return name == ".plt" || name.substr(0, 5) == ".plt." ? ElfSection::Kind::kPlt
                                                        : ElfSection::Kind::kCode;
}

std::optional<ElfSection::Kind> KindOf(const Elf64_Shdr& section) {
  if (section.sh_type == SHT_SYMTAB) return ElfSection::Kind::kSymtab;
  if (section.sh_type == SHT_DYNSYM) return ElfSection::Kind::kDynsym;
  if (section.sh_type == SHT_RELA && (section.sh_flags & SHF_ALLOC) != 0) {
    return ElfSection::Kind::kRela;
  }
  if ((section.sh_flags & SHF_EXECINSTR) != 0) return ElfSection::Kind::kCode;
  // Perhaps: its name decides.
  if (section.sh_type == SHT_PROGBITS && section.sh_flags == 0) return ElfSection::Kind::kDebugData;
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<ElfFile>> ElfFile::Open(std::unique_ptr<ByteSource> source) {
  std::unique_ptr<ElfFile> elf(new ElfFile(std::move(source)));
  if (auto error = elf->Read()) return *error;
  return elf;
}

std::optional<Error> ElfFile::Read() {
  Elf64_Ehdr header;
  if (auto error = ReadHeader(&header)) return error;
  if (auto error = ReadSegments(header)) return error;
  ReadSections(header);
  if (BestSymbolTable() == nullptr) ReadDynamic();
  return std::nullopt;
}

// The program headers lie behind the first bytes; they say where the rest is.
Result<std::unique_ptr<ElfFile>> ElfFile::OpenLoaded(const MemoryReader& reader, uint64_t start,
                                                     uint64_t limit) {
  auto head = Open(OpenMemory(reader, start, limit - start));
  if (!head) return head;
  const auto& segments = (*head)->segments_;
  const auto first = std::find_if(segments.begin(), segments.end(),
                                  [](const ElfSegment& s) { return s.offset == 0; });
  if (first == segments.end()) return Error{"no segment begins with the ELF header"};
  const uint64_t bias = start - first->address;
  std::unique_ptr<ElfFile> elf(new ElfFile(OpenLoadedFile(reader, bias, segments)));
  elf->load_bias_ = bias;
  if (auto error = elf->Read()) return *error;
  return elf;
}

std::optional<Error> ElfFile::ReadHeader(Elf64_Ehdr* header) {
  memset(header, 0, sizeof *header);
  const size_t got = source_->ReadAt(0, header, sizeof *header);
  if (got < SELFMAG) {
    return Error{"not an ELF object: " + Decimal(got) + " bytes, expected a header of 64"};
  }
  if (auto error = CheckIdent(*header)) return error;
  if (got < sizeof *header) {
    return Error{"ELF header cut short: " + Decimal(got) + " of 64 bytes"};
  }
  machine_ = header->e_machine;
  return std::nullopt;
}

std::optional<Error> ElfFile::ReadSegments(const Elf64_Ehdr& header) {
  if (header.e_phnum == 0) return std::nullopt;  // a debug file or a relocatable object
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > kMaxSegments) {
    return Error{"ELF program headers: " + Decimal(header.e_phnum) + " of " +
                 Decimal(header.e_phentsize) + " bytes, expected at most " + Decimal(kMaxSegments) +
                 " of 56"};
  }
  std::vector<Elf64_Phdr> headers(header.e_phnum);
  if (!ReadExact(header.e_phoff, headers.data(), headers.size() * sizeof(Elf64_Phdr))) {
    return Error{"ELF program headers at offset " + Decimal(header.e_phoff) +
                 " reach past the end of the file (" + Decimal(source_->size()) + " bytes)"};
  }
  for (const Elf64_Phdr& p : headers) {
    if (p.p_type == PT_NOTE) ReadNotes(p.p_offset, p.p_filesz, p.p_align);
    if (p.p_type == PT_DYNAMIC) {
      dynamic_offset_ = p.p_offset;
      dynamic_size_ = p.p_filesz;
    }
    const ElfSegment segment = {p.p_vaddr, p.p_offset, p.p_filesz, p.p_memsz,
                                (p.p_flags & PF_X) != 0};
    if (p.p_type == PT_GNU_EH_FRAME) eh_frame_header_ = segment;
    if (p.p_type == PT_LOAD) segments_.push_back(segment);
  }
  return std::nullopt;
}

void ElfFile::ReadNotes(uint64_t offset, uint64_t size, uint64_t align) {
  if (!build_id_.empty()) return;
  std::string notes(ClampSize(offset, std::min(size, kMaxNoteBytes)), '\0');
  if (!ReadExact(offset, notes.data(), notes.size())) return;
  ForEachNote(notes, align == 8 ? 8 : 4,
              [&](uint32_t type, std::string_view name, std::string_view data) {
                if (type != NT_GNU_BUILD_ID || name != std::string_view("GNU", 4)) return;
                if (data.empty() || data.size() > kMaxBuildIdBytes || !build_id_.empty()) return;
                build_id_ = HexBytes({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
              });
}

// A file without usable section headers (stripped of them, or cut) is still good for build id and
// segments.
void ElfFile::ReadSections(const Elf64_Ehdr& header) {
  Elf64_Shdr first;
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr)) return;
  if (!ReadExact(header.e_shoff, &first, sizeof first)) return;
  // More than 65,279 sections: the true numbers are in the first header.
  const uint64_t count =
      std::min(header.e_shnum != 0 ? header.e_shnum : first.sh_size, kMaxSectionHeaders);
  const uint64_t names = header.e_shstrndx == SHN_XINDEX ? first.sh_link : header.e_shstrndx;
  Elf64_Shdr section;
  uint64_t names_offset = UINT64_MAX;
  if (names < count &&
      ReadExact(header.e_shoff + names * sizeof section, &section, sizeof section)) {
    names_offset = section.sh_offset;
  }
  for (uint64_t i = 1; i < count && sections_.size() < kMaxSections; ++i) {
    if (!ReadExact(header.e_shoff + i * sizeof section, &section, sizeof section)) return;
    KeepSection(header, section, names_offset);
  }
}

void ElfFile::KeepSection(const Elf64_Ehdr& header, const Elf64_Shdr& section,
                          uint64_t names_offset) {
  if (section.sh_type == SHT_NOTE) {
    ReadNotes(section.sh_offset, section.sh_size, section.sh_addralign);
  }
  const auto kind = KindOf(section);
  if (!kind) return;
  ElfSection kept{*kind, section.sh_addr, section.sh_offset, section.sh_size, section.sh_entsize, 0,
                  0};
  char name[16] = {};
  const bool needs_name =
      kept.kind == ElfSection::Kind::kCode || kept.kind == ElfSection::Kind::kDebugData;
  if (needs_name && names_offset != UINT64_MAX) {
    (void)source_->ReadAt(names_offset + section.sh_name, name, sizeof name - 1);
  }
  if (kept.kind == ElfSection::Kind::kCode) {
    kept.kind = CodeKind(name);
  } else if (kept.kind == ElfSection::Kind::kDebugData) {
    if (std::string_view(name) != ".gnu_debugdata") return;
    kept.size = ClampSize(section.sh_offset, section.sh_size);
  } else {
    if (section.sh_type == SHT_NOBITS) return;
    kept.size = ClampSize(section.sh_offset, section.sh_size);
    LinkStrings(header, section, &kept);
  }
  sections_.push_back(kept);
}

void ElfFile::LinkStrings(const Elf64_Ehdr& header, const Elf64_Shdr& section,
                          ElfSection* kept) const {
  if (kept->kind == ElfSection::Kind::kRela) return;
  Elf64_Shdr strings;
  const uint64_t at = header.e_shoff + uint64_t{section.sh_link} * sizeof strings;
  if (!ReadExact(at, &strings, sizeof strings) || strings.sh_type != SHT_STRTAB) return;
  kept->strings_offset = strings.sh_offset;
  kept->strings_size = ClampSize(strings.sh_offset, strings.sh_size);
}

// A pointer of the dynamic segment as a file offset. Once loaded, most of them are absolute.
std::optional<uint64_t> ElfFile::DynamicOffset(uint64_t pointer) const {
  if (load_bias_ != 0 && pointer >= load_bias_) {
    if (const auto offset = AddressToOffset(pointer - load_bias_)) return offset;
  }
  return AddressToOffset(pointer);
}

void ElfFile::ReadDynamic() {
  std::vector<Elf64_Dyn> entries(std::min<uint64_t>(dynamic_size_ / sizeof(Elf64_Dyn), 256));
  if (!ReadExact(dynamic_offset_, entries.data(), entries.size() * sizeof(Elf64_Dyn))) return;
  uint64_t symbols = 0;
  uint64_t strings = 0;
  uint64_t strings_size = 0;
  uint64_t hash = 0;
  uint64_t gnu_hash = 0;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_SYMTAB) symbols = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) strings_size = entry.d_un.d_val;
    if (entry.d_tag == DT_HASH) hash = entry.d_un.d_ptr;
    if (entry.d_tag == DT_GNU_HASH) gnu_hash = entry.d_un.d_ptr;
  }
  const auto symbols_at = DynamicOffset(symbols);
  const auto strings_at = DynamicOffset(strings);
  if (!symbols_at || !strings_at) return;
  ElfSection table;
  table.kind = ElfSection::Kind::kDynsym;
  table.offset = *symbols_at;
  table.entry_size = sizeof(Elf64_Sym);
  table.size = ClampSize(*symbols_at, CountSymbols(hash, gnu_hash) * sizeof(Elf64_Sym));
  table.strings_offset = *strings_at;
  table.strings_size = ClampSize(*strings_at, strings_size);
  sections_.push_back(table);
}

uint64_t ElfFile::CountSymbols(uint64_t hash, uint64_t gnu_hash) const {
  uint32_t counts[2] = {};  // buckets, chains; a chain a symbol
  const auto hash_at = hash != 0 ? DynamicOffset(hash) : std::nullopt;
  if (hash_at && ReadExact(*hash_at, counts, sizeof counts)) return counts[1];
  const auto gnu_at = gnu_hash != 0 ? DynamicOffset(gnu_hash) : std::nullopt;
  return gnu_at ? CountByGnuHash(*gnu_at) : 0;
}

// The last chain ends with the last symbol: its hash has the lowest bit set.
uint64_t ElfFile::CountByGnuHash(uint64_t at) const {
  struct {
    uint32_t buckets;
    uint32_t first_symbol;
    uint32_t bloom_words;
    uint32_t bloom_shift;
  } head;
  if (!ReadExact(at, &head, sizeof head) || head.buckets > kMaxHashBuckets) return 0;
  const uint64_t buckets_at = at + sizeof head + uint64_t{head.bloom_words} * 8;
  std::vector<uint32_t> buckets(head.buckets);
  if (!ReadExact(buckets_at, buckets.data(), buckets.size() * 4)) return 0;
  const uint32_t last = buckets.empty() ? 0 : *std::max_element(buckets.begin(), buckets.end());
  if (last < head.first_symbol) return head.first_symbol;
  const uint64_t chains_at = buckets_at + buckets.size() * 4;
  for (uint64_t symbol = last; symbol - last < kMaxHashChain; ++symbol) {
    uint32_t value = 1;
    if (!ReadExact(chains_at + (symbol - head.first_symbol) * 4, &value, sizeof value)) return 0;
    if ((value & 1) != 0) return symbol + 1;
  }
  return 0;
}

const ElfSection* ElfFile::BestSymbolTable() const {
  const ElfSection* symtab = FindSection(ElfSection::Kind::kSymtab);
  // Entry 0 is always the null symbol.
  if (symtab != nullptr && symtab->size > sizeof(Elf64_Sym)) return symtab;
  return FindSection(ElfSection::Kind::kDynsym);
}

const ElfSection* ElfFile::FindSection(ElfSection::Kind kind) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(),
                                  [&](const ElfSection& s) { return s.kind == kind; });
  return found == sections_.end() ? nullptr : &*found;
}

const ElfSection* ElfFile::CodeSectionAt(uint64_t address) const {
  const auto found = std::find_if(sections_.begin(), sections_.end(), [&](const ElfSection& s) {
    return (s.kind == ElfSection::Kind::kCode || s.kind == ElfSection::Kind::kPlt) &&
           s.Contains(address);
  });
  return found == sections_.end() ? nullptr : &*found;
}

std::optional<uint64_t> ElfFile::OffsetToAddress(uint64_t offset) const {
  std::optional<uint64_t> any;
  for (const ElfSegment& s : segments_) {
    if (offset < s.offset || offset - s.offset >= s.file_size) continue;
    // Segments can share a page of the file; code is what we are asked about.
    if (s.executable) return s.address + (offset - s.offset);
    if (!any) any = s.address + (offset - s.offset);
  }
  return any;
}

std::optional<uint64_t> ElfFile::AddressToOffset(uint64_t address) const {
  for (const ElfSegment& s : segments_) {
    if (address >= s.address && address - s.address < s.file_size) {
      return s.offset + (address - s.address);
    }
  }
  return std::nullopt;
}

std::string ElfFile::ReadName(const ElfSection& table, uint64_t index) const {
  if (index >= table.strings_size) return "";
  std::string name;
  const uint64_t most = std::min<uint64_t>(table.strings_size - index, kMaxNameBytes);
  for (uint64_t piece = 128; name.size() < most; piece = most) {
    const size_t had = name.size();
    name.resize(std::min(piece, most));
    if (!ReadExact(table.strings_offset + index + had, name.data() + had, name.size() - had)) break;
    const size_t end = name.find('\0', had);
    if (end != std::string::npos) return name.substr(0, end);
  }
  return "";
}

uint64_t ElfFile::ClampSize(uint64_t offset, uint64_t size) const {
  const uint64_t end = source_->size();
  return offset >= end ? 0 : std::min(size, end - offset);
}

std::string ReadBuildIdFromMemory(const MemoryReader& reader, uint64_t start, uint64_t limit) {
  if (start >= limit) return "";
  auto elf = ElfFile::Open(OpenMemory(reader, start, limit - start));
  return elf ? (*elf)->build_id() : "";
}

}  // namespace sonde
