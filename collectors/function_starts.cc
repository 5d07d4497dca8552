// SPDX-License-Identifier: Apache-2.0
#include "collectors/function_starts.h"

#include <link.h>
#include <string.h>

#include <algorithm>
#include <utility>

namespace sonde {
namespace {

constexpr uint16_t kMaxProgramHeaders = 64;
constexpr uint64_t kPageSize = 4096;

// One entry of the table: both numbers are relative to .eh_frame_hdr.
struct Entry {
  int32_t start;
  int32_t description;
};

uint64_t Relative(uint64_t base, int32_t distance) {
  return base + static_cast<uint64_t>(int64_t{distance});
}

}  // namespace

void FunctionStarts::SetCode(std::vector<CodeOfImage> code) {
  std::sort(code.begin(), code.end(),
            [](const CodeOfImage& a, const CodeOfImage& b) { return a.low < b.low; });
  const bool same =
      std::equal(code.begin(), code.end(), objects_.begin(), objects_.end(),
                 [](const CodeOfImage& a, const Object& b) {
                   return a.low == b.code.low && a.high == b.code.high && a.image == b.code.image;
                 });
  if (same) return;
  objects_.clear();
  known_.clear();
  for (const CodeOfImage& item : code) objects_.push_back({item, {}});
}

FunctionStarts::Object* FunctionStarts::Find(uint64_t pc) {
  auto after = std::upper_bound(objects_.begin(), objects_.end(), pc,
                                [](uint64_t at, const Object& o) { return at < o.code.low; });
  if (after == objects_.begin() || pc >= std::prev(after)->code.high) return nullptr;
  return &*std::prev(after);
}

// Version 1, pointer to .eh_frame in any encoding of four bytes, count in four bytes, entries
// relative to the header in four bytes each: what every linker writes.
bool FunctionStarts::ReadTableHeader(uint64_t address, Table* table) const {
  struct {
    uint8_t version, pointer_encoding, count_encoding, table_encoding;
    int32_t pointer;
    uint32_t count;
  } header;
  if (!memory_.ReadObject(address, &header)) return false;
  if (header.version != 1 || header.pointer_encoding != 0x1b || header.count_encoding != 0x03 ||
      header.table_encoding != 0x3b) {
    return false;
  }
  table->header = address;
  table->entries = address + sizeof(header);
  table->count = header.count;
  return true;
}

void FunctionStarts::LookForTable(Object* object) const {
  object->table.looked_for = true;
  ElfW(Ehdr) header;
  const uint64_t image = object->code.image;
  if (!memory_.ReadObject(image, &header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return;
  if (header.e_phentsize != sizeof(ElfW(Phdr)) || header.e_phnum > kMaxProgramHeaders) return;
  uint64_t base = image;
  for (uint16_t i = 0; i < header.e_phnum; ++i) {
    ElfW(Phdr) segment;
    if (!memory_.ReadObject(image + header.e_phoff + i * sizeof(segment), &segment)) return;
    if (segment.p_type == PT_LOAD && segment.p_offset < kPageSize) {
      base = image - (segment.p_vaddr - segment.p_offset);
    }
    if (segment.p_type == PT_GNU_EH_FRAME) {
      ReadTableHeader(base + segment.p_vaddr, &object->table);
      return;
    }
  }
}

uint64_t FunctionStarts::Search(const Object& object, uint64_t pc) const {
  const Table& table = object.table;
  uint64_t start = 0;
  for (uint32_t low = 0, high = table.count; low < high;) {
    const uint32_t middle = low + (high - low) / 2;
    Entry entry;
    if (!memory_.ReadObject(table.entries + middle * sizeof(entry), &entry)) return 0;
    const uint64_t begins = Relative(table.header, entry.start);
    if (begins <= pc) {
      start = begins;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return start;
}

uint64_t FunctionStarts::StartOf(uint64_t pc) {
  const auto known = known_.find(pc);
  if (known != known_.end()) return known->second;
  Object* object = Find(pc);
  if (object == nullptr) return 0;
  if (!object->table.looked_for) LookForTable(object);
  if (known_.size() >= kMaxCached) known_.clear();
  return known_[pc] = Search(*object, pc);
}

}  // namespace sonde
