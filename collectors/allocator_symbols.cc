// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_symbols.h"

#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include <algorithm>
#include <array>

namespace sonde {
namespace {

constexpr size_t kMaxText = 256;
constexpr size_t kMaxDynamicEntries = 128;
constexpr uint32_t kMaxChain = 4096;
constexpr size_t kMaxSegments = 64;

// The part of link_map that is documented for debuggers.
struct Node {
  uint64_t bias;
  uint64_t name;
  uint64_t dynamic;
  uint64_t next;
  uint64_t previous;
};

struct HashHead {
  uint32_t buckets;
  uint32_t first_symbol;
  uint32_t filter_words;
  uint32_t filter_shift;
};

uint32_t GnuHash(std::string_view name) {
  uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<uint8_t>(c);
  return hash;
}

bool IsDefinition(const Elf64_Sym& symbol) {
  const unsigned type = ELF64_ST_TYPE(symbol.st_info);
  return symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 && type != STT_TLS;
}

}  // namespace

LinkedObjects::LinkedObjects(const ProcessMemory& memory) : memory_(memory) {
  const auto own_dynamic = reinterpret_cast<uint64_t>(&_DYNAMIC[0]);
  auto at = reinterpret_cast<uint64_t>(_r_debug.r_map);
  Node node;
  for (int count = 0; at != 0 && count < kMaxObjects; ++count, at = node.next) {
    if (!memory_.ReadObject(at, &node)) break;
    LinkedObject object;
    object.name = ReadText(node.name);
    object.bias = node.bias;
    object.is_ours = node.dynamic == own_dynamic;
    ReadDynamic(node.dynamic, &object);
    objects_.push_back(std::move(object));
  }
}

// As much as can be read of [address, address + size), in whole pages at its end.
size_t LinkedObjects::ReadPiece(uint64_t address, void* out, size_t size) const {
  constexpr uint64_t kPage = 4096;
  size_t done = 0;
  while (address != 0 && done < size) {
    const uint64_t from = address + done;
    const size_t piece = std::min<size_t>(size - done, kPage - from % kPage);
    if (!memory_.Read(from, static_cast<char*>(out) + done, piece)) break;
    done += piece;
  }
  return done;
}

std::string LinkedObjects::ReadText(uint64_t address) const {
  std::array<char, kMaxText> text;
  return {text.data(), strnlen(text.data(), ReadPiece(address, text.data(), text.size()))};
}

// The loader adds the bias in place, except where the section is read-only.
void LinkedObjects::ReadDynamic(uint64_t dynamic, LinkedObject* object) const {
  std::array<Elf64_Dyn, kMaxDynamicEntries> entries;
  const size_t count = ReadPiece(dynamic, entries.data(), sizeof(entries)) / sizeof(Elf64_Dyn);
  for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; ++i) {
    const uint64_t value = entries[i].d_un.d_ptr;
    const uint64_t address = value < object->bias ? value + object->bias : value;
    if (entries[i].d_tag == DT_SYMTAB) object->symbols = address;
    if (entries[i].d_tag == DT_STRTAB) object->strings = address;
    if (entries[i].d_tag == DT_GNU_HASH) object->hash = address;
  }
}

LinkedObjects::Range LinkedObjects::CodeAround(uint64_t address) const {
  for (const LinkedObject& object : objects_) {
    const Range range = SegmentOf(object, address);
    if (range.low < range.high) return range;
  }
  return {};
}

// Libraries are linked to begin at 0, so their header lies where they were moved to. Of a program
// that is linked at fixed addresses the kernel tells.
std::vector<Elf64_Phdr> LinkedObjects::SegmentsOf(const LinkedObject& object) const {
  uint64_t at = getauxval(AT_PHDR);
  uint64_t count = getauxval(AT_PHNUM);
  if (object.bias != 0) {
    Elf64_Ehdr header;
    if (!memory_.ReadObject(object.bias, &header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
      return {};
    at = object.bias + header.e_phoff;
    count = header.e_phnum;
  } else if (!object.name.empty()) {
    return {};
  }
  std::vector<Elf64_Phdr> segments(std::min<uint64_t>(count, kMaxSegments));
  if (segments.empty() || !memory_.Read(at, segments.data(), segments.size() * sizeof(Elf64_Phdr)))
    return {};
  return segments;
}

LinkedObjects::Range LinkedObjects::SegmentOf(const LinkedObject& object, uint64_t address) const {
  if (object.bias == 0 || address < object.bias) return {};
  for (const Elf64_Phdr& segment : SegmentsOf(object)) {
    const Range range = {object.bias + segment.p_vaddr,
                         object.bias + segment.p_vaddr + segment.p_memsz};
    const bool is_code = segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0;
    if (is_code && address >= range.low && address < range.high) return range;
  }
  return {};
}

bool LinkedObjects::Holds(const LinkedObject& object, Part part, uint64_t address,
                          uint64_t size) const {
  for (const Elf64_Phdr& segment : SegmentsOf(object)) {
    const bool loaded = segment.p_type == PT_LOAD;
    const bool fits = part == Part::kCode ? loaded && (segment.p_flags & PF_X) != 0
                                          : segment.p_type == PT_GNU_RELRO ||
                                                (loaded && (segment.p_flags & (PF_W | PF_X)) == 0);
    const uint64_t low = object.bias + segment.p_vaddr;
    if (fits && address >= low && size <= segment.p_memsz &&
        address - low <= segment.p_memsz - size)
      return true;
  }
  return false;
}

const LinkedObject* LinkedObjects::Named(std::string_view name) const {
  for (const LinkedObject& object : objects_) {
    if (object.name == name) return &object;
  }
  return nullptr;
}

bool LinkedObjects::NameIs(uint64_t address, std::string_view name) const {
  std::array<char, kMaxText> text;
  if (name.size() + 1 > text.size() || !memory_.Read(address, text.data(), name.size() + 1))
    return false;
  return text[name.size()] == 0 && memcmp(text.data(), name.data(), name.size()) == 0;
}

// Layout of DT_GNU_HASH: the head, the filter, the buckets, the chains.
std::optional<LinkedObjects::Symbol> LinkedObjects::FindSymbol(const LinkedObject& object,
                                                               std::string_view name) const {
  const uint32_t hash = GnuHash(name);
  HashHead head;
  if (object.hash == 0 || object.symbols == 0 || object.strings == 0) return std::nullopt;
  if (!memory_.ReadObject(object.hash, &head) || head.buckets == 0 || head.filter_words == 0)
    return std::nullopt;
  const uint64_t filter = object.hash + sizeof(head);
  uint64_t word = 0;
  if (!memory_.ReadObject(filter + hash / 64 % head.filter_words * 8, &word)) return std::nullopt;
  if ((word >> (hash % 64) & word >> ((hash >> (head.filter_shift & 31)) % 64) & 1) == 0)
    return std::nullopt;
  const uint64_t buckets = filter + uint64_t{head.filter_words} * 8;
  const uint64_t chains = buckets + uint64_t{head.buckets} * 4;
  uint32_t index = 0;
  if (!memory_.ReadObject(buckets + uint64_t{hash % head.buckets} * 4, &index)) return std::nullopt;
  for (uint32_t steps = 0; index >= head.first_symbol && steps < kMaxChain; ++steps, ++index) {
    uint32_t entry = 0;
    if (!memory_.ReadObject(chains + uint64_t{index - head.first_symbol} * 4, &entry)) break;
    Elf64_Sym symbol;
    if ((entry | 1) == (hash | 1) &&
        memory_.ReadObject(object.symbols + uint64_t{index} * sizeof(symbol), &symbol) &&
        IsDefinition(symbol) && NameIs(object.strings + symbol.st_name, name))
      return Symbol{object.bias + symbol.st_value, symbol.st_size, ELF64_ST_TYPE(symbol.st_info)};
    if ((entry & 1) != 0) break;
  }
  return std::nullopt;
}

std::optional<uint64_t> LinkedObjects::Find(const LinkedObject& object,
                                            std::string_view name) const {
  const auto symbol = FindSymbol(object, name);
  if (!symbol) return std::nullopt;
  return symbol->address;
}

}  // namespace sonde
