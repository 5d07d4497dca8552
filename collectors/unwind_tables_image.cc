// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_image.h"

#include <string.h>

#include <algorithm>

namespace sonde {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kMaxNoteBytes = 1024;

bool IsOfThisMachine(const ElfW(Ehdr) & header) {
  return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_X86_64 &&
         (header.e_type == ET_DYN || header.e_type == ET_EXEC) &&
         header.e_phentsize == sizeof(ElfW(Phdr));
}

// .note.go.buildid, wherever the linker has put it among the notes.
bool HasGoBuildId(const uint8_t* notes, uint64_t size) {
  constexpr char kOwner[] = "Go";
  constexpr uint32_t kGoBuildId = 4;
  const auto padded = [](uint64_t bytes) { return (bytes + 3) & ~uint64_t{3}; };
  for (uint64_t at = 0; size - at >= sizeof(ElfW(Nhdr));) {
    ElfW(Nhdr) note;
    memcpy(&note, notes + at, sizeof(note));
    at += sizeof(note);
    const bool is_owner = note.n_namesz == sizeof(kOwner) + 1 && size - at >= note.n_namesz &&
                          memcmp(notes + at, kOwner, sizeof(kOwner)) == 0;
    if (is_owner && note.n_type == kGoBuildId) return true;
    const uint64_t content = padded(note.n_namesz) + padded(note.n_descsz);
    if (content > size - at) return false;
    at += content;
  }
  return false;
}

}  // namespace

bool ElfImage::Read(uint64_t address) {
  ElfW(Ehdr) header;
  address_ = address;
  if (!memory_.ReadObject(address, &header) || !IsOfThisMachine(header)) return false;
  count_ = header.e_phnum;
  if (count_ == 0 || count_ > kMaxProgramHeaders) return false;
  const size_t bytes = static_cast<size_t>(count_) * sizeof(headers_[0]);
  return memory_.Read(address + header.e_phoff, headers_, bytes) && FindBase();
}

// The ELF header is the first byte of the file, so it is in the segment that starts there.
bool ElfImage::FindBase() {
  for (int i = 0; i < count_; ++i) {
    const ElfW(Phdr)& header = headers_[i];
    if (header.p_type != PT_LOAD || header.p_offset >= kPageSize) continue;
    base_ = address_ - (header.p_vaddr - header.p_offset);
    return true;
  }
  return false;
}

// The segment that holds `address`, or null.
const ElfW(Phdr) * ElfImage::SegmentOf(uint64_t address) const {
  for (int i = 0; i < count_; ++i) {
    const ElfW(Phdr)& header = headers_[i];
    const uint64_t begin = base_ + header.p_vaddr;
    const bool holds = address >= begin && address - begin < header.p_filesz;
    if (header.p_type == PT_LOAD && holds) return &header;
  }
  return nullptr;
}

// Its end, or 0.
uint64_t ElfImage::SegmentEnd(uint64_t address) const {
  const ElfW(Phdr)* const segment = SegmentOf(address);
  return segment == nullptr ? 0 : base_ + segment->p_vaddr + segment->p_filesz;
}

// .eh_frame_hdr: version 1; how the pointer to .eh_frame, the count, and the table are encoded;
// then these. Linkers write a pc-relative 4-byte pointer, a 4-byte count, and pairs of 4-byte
// distances from the header, ascending.
void ElfImage::FindEhFrame(uint64_t header, LoadedObject* object) const {
  constexpr uint8_t kUsual[] = {1, 0x1b};
  constexpr uint8_t kUsualTable[] = {0x03, 0x3b};
  constexpr uint64_t kTableAt = 12;
  constexpr uint64_t kPairBytes = 8;
  uint8_t start[kTableAt];
  const uint64_t end = SegmentEnd(header);
  if (end < header + sizeof(start) || !memory_.ReadObject(header, &start)) return;
  if (memcmp(start, kUsual, sizeof(kUsual)) != 0) return;
  int32_t distance;
  memcpy(&distance, start + 4, sizeof(distance));
  object->eh_frame = header + 4 + static_cast<uint64_t>(int64_t{distance});
  if (memcmp(start + sizeof(kUsual), kUsualTable, sizeof(kUsualTable)) != 0) return;
  uint32_t count;
  memcpy(&count, start + 8, sizeof(count));
  if (count > (end - header - kTableAt) / kPairBytes) return;
  object->search_table = header + kTableAt;
  object->functions = count;
}

void ElfImage::AddText(uint64_t begin, uint64_t end, LoadedObject* object) const {
  if (end <= begin || begin < address_) return;
  if (object->text_high == 0 || begin < object->text_low) object->text_low = begin;
  object->text_high = std::max(object->text_high, end);
}

void ElfImage::AddNote(uint64_t begin, uint64_t size, LoadedObject* object, WordHash* hash) const {
  uint8_t note[kMaxNoteBytes];
  size = std::min(size, kMaxNoteBytes);
  if (!memory_.Read(begin, note, size)) return;
  hash->Add(note, size);
  object->is_go = object->is_go || HasGoBuildId(note, size);
}

void ElfImage::Describe(LoadedObject* object, WordHash* hash) const {
  object->image = address_;
  object->base = base_;
  for (int i = 0; i < count_; ++i) {
    const ElfW(Phdr)& header = headers_[i];
    const uint64_t begin = base_ + header.p_vaddr;
    if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0) {
      AddText(begin, begin + header.p_memsz, object);
    } else if (header.p_type == PT_GNU_EH_FRAME) {
      FindEhFrame(begin, object);
    } else if (header.p_type == PT_NOTE) {
      AddNote(begin, header.p_memsz, object, hash);
    } else if (header.p_type == PT_INTERP) {
      object->is_program = true;
    }
  }
  object->eh_frame_limit = SegmentEnd(object->eh_frame);
  if (object->eh_frame_limit == 0) object->eh_frame = object->functions = 0;
  const ElfW(Phdr)* const segment = SegmentOf(object->eh_frame);
  if (segment != nullptr && (segment->p_flags & PF_W) == 0) {
    object->eh_frame_in_file = segment->p_offset + (object->eh_frame - base_ - segment->p_vaddr);
  }
  object->fingerprint = FingerprintOf(memory_, address_);
  hash->Add(address_);
  hash->Add(headers_, static_cast<size_t>(count_) * sizeof(headers_[0]));
  hash->Add(object->fingerprint);
}

}  // namespace sonde
