// SPDX-License-Identifier: Apache-2.0
// The records: CIEs and FDEs. What their programs do is in eh_frame_program.cc.
#include "collectors/eh_frame.h"

#include <algorithm>

#include "collectors/eh_frame_cursor.h"

namespace sonde {
namespace {

constexpr uint64_t kReturnAddressColumn = 16;
constexpr uint32_t kExtendedLength = 0xffffffff;
// Real ones have some 20 bytes. They are read again for many of their FDEs, so they must be short
// for the whole to take linear time.
constexpr uint32_t kMaxCieSize = 1024;

// The augmentation data, as the letters of the augmentation string lay it out. Cold path only.
bool ReadAugmentation(ByteCursor letters, ByteCursor data, EhFrameCie* cie) {
  for (char letter = letters.Read<char>(); letter != 0; letter = letters.Read<char>()) {
    switch (letter) {
      case 'R':
        cie->pointer_encoding = data.Read<uint8_t>();
        break;
      case 'P':
        data.ReadFormat(data.Read<uint8_t>());
        break;
      case 'L':
        data.Read<uint8_t>();
        break;
      case 'S':
        cie->signal_frame = true;
        break;
      default:
        return false;  // what follows cannot be found
    }
  }
  return data.ok() && letters.ok();
}

// Cold path only.
bool ParseCieBody(const EhFrameSection& section, size_t begin, size_t end, EhFrameCie* cie) {
  ByteCursor cursor(section.data, begin, end, section.address);
  const auto version = cursor.Read<uint8_t>();
  if (version != 1 && version != 3) return false;
  ByteCursor letters = cursor;
  while (cursor.Read<char>() != 0) {
  }
  cie->code_align = cursor.Uleb();
  cie->data_align = cursor.Sleb();
  const uint64_t column = version == 1 ? cursor.Read<uint8_t>() : cursor.Uleb();
  if (!cursor.ok() || column != kReturnAddressColumn) return false;
  const char first = ByteCursor(letters).Read<char>();
  cie->has_augmentation = first == 'z';
  if (first != 0 && first != 'z') return false;
  if (cie->has_augmentation) {
    const uint64_t length = cursor.Uleb();
    ByteCursor data = cursor;
    letters.Read<char>();
    if (!ReadAugmentation(letters, data, cie)) return false;
    cursor.Skip(length);
  }
  cie->program_begin = cursor.position();
  cie->program_end = end;
  return cursor.ok();
}

}  // namespace

EhFrameReader::EhFrameReader(const EhFrameSection& section) : section_(section) {
  section_.size = std::min<size_t>(section_.size, UINT32_MAX);
}

const EhFrameCie& EhFrameReader::CieAt(uint32_t offset) {
  if (offset == cached_cie_offset_) return cached_cie_;
  cached_cie_offset_ = offset;
  cached_cie_ = EhFrameCie();
  ByteCursor cursor(section_.data, offset, section_.size, section_.address);
  const auto length = cursor.Read<uint32_t>();
  const size_t body = cursor.position();
  const auto id = cursor.Read<uint32_t>();
  if (!cursor.ok() || id != 0 || length > section_.size - body || length > kMaxCieSize) {
    return cached_cie_;
  }
  cached_cie_.supported = ParseCieBody(section_, cursor.position(), body + length, &cached_cie_);
  return cached_cie_;
}

bool EhFrameReader::ParseFde(size_t id_offset, size_t end, uint32_t cie_offset, EhFrameFde* fde) {
  const EhFrameCie& cie = CieAt(cie_offset);
  if (!cie.supported) return false;
  ByteCursor cursor(section_.data, id_offset + sizeof(uint32_t), end, section_.address);
  fde->begin = cursor.ReadPointer(cie.pointer_encoding);
  const uint64_t size = cursor.ReadFormat(cie.pointer_encoding);
  fde->end = fde->begin + size;
  if (cie.has_augmentation) cursor.Skip(cursor.Uleb());
  fde->cie = cie_offset;
  fde->program_begin = static_cast<uint32_t>(cursor.position());
  fde->program_end = static_cast<uint32_t>(end);
  return cursor.ok() && fde->end > fde->begin && fde->begin != 0;
}

// The record at next_, which moves on to the one after it.
EhFrameReader::Record EhFrameReader::ParseRecord(EhFrameFde* fde) {
  ByteCursor cursor(section_.data, next_, section_.size, section_.address);
  const auto length = cursor.Read<uint32_t>();
  const size_t id_offset = cursor.position();
  const auto id = cursor.Read<uint32_t>();  // FDE: distance back to the CIE. CIE: 0
  if (!cursor.ok() || length < sizeof(id) || length == kExtendedLength) return Record::kEnd;
  if (length > section_.size - id_offset) return Record::kEnd;
  next_ = id_offset + length;
  if (id == 0) return Record::kOther;
  const bool parsed =
      id <= id_offset && ParseFde(id_offset, next_, static_cast<uint32_t>(id_offset - id), fde);
  skipped_ += parsed ? 0 : 1;
  return parsed ? Record::kFde : Record::kOther;
}

bool EhFrameReader::Next(EhFrameFde* fde) {
  Record record;
  do {
    record = ParseRecord(fde);
  } while (record == Record::kOther);
  return record == Record::kFde;
}

bool EhFrameReader::ReadAt(uint32_t offset, EhFrameFde* fde) {
  next_ = offset;
  return ParseRecord(fde) == Record::kFde;
}

}  // namespace sonde
