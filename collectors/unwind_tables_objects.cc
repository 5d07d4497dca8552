// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_objects.h"

#include <link.h>
#include <string.h>

#include <algorithm>
#include <new>

#include "collectors/safe/unwind_probe.h"

namespace sonde {
namespace {

constexpr uint64_t kPageMask = kProbePageSize - 1;
constexpr uint64_t kMaxSectionSize = uint64_t{256} << 20;
constexpr size_t kMaxNoteBytes = 1024;

// FNV-1a.
class Hash {
 public:
  void Add(const void* data, size_t size) {
    const auto* bytes = static_cast<const uint8_t*>(data);
    for (size_t i = 0; i < size; ++i) value_ = (value_ ^ bytes[i]) * 0x100000001b3;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

const void* Pointer(uint64_t address) { return reinterpret_cast<const void*>(address); }

bool Readable(uint64_t begin, uint64_t end) {
  for (uint64_t page = begin & ~kPageMask; page < end; page += kProbePageSize) {
    if (!PageReadable(page)) return false;
  }
  return begin < end;
}

// The end of the segment that holds `address`, or 0.
uint64_t SegmentEnd(const dl_phdr_info& info, uint64_t address) {
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const auto& header = info.dlpi_phdr[i];
    const uint64_t begin = info.dlpi_addr + header.p_vaddr;
    const bool holds = address >= begin && address - begin < header.p_filesz;
    if (header.p_type == PT_LOAD && holds) return begin + header.p_filesz;
  }
  return 0;
}

// .eh_frame_hdr starts with version 1, three encodings, and the pointer to .eh_frame; linkers
// write that as a pc-relative 4-byte number.
uint64_t EhFrameOf(const dl_phdr_info& info, uint64_t header) {
  constexpr uint8_t kUsual[] = {1, 0x1b};
  uint8_t start[8];
  if (SegmentEnd(info, header) < header + sizeof(start)) return 0;
  if (!Readable(header, header + sizeof(start))) return 0;
  memcpy(start, Pointer(header), sizeof(start));
  if (memcmp(start, kUsual, sizeof(kUsual)) != 0) return 0;
  int32_t distance;
  memcpy(&distance, start + 4, sizeof(distance));
  return header + 4 + static_cast<uint64_t>(int64_t{distance});
}

void AddSegment(const dl_phdr_info& info, const ElfW(Phdr) & header, LoadedObject* object,
                Hash* hash) {
  const uint64_t begin = info.dlpi_addr + header.p_vaddr;
  const uint64_t end = begin + header.p_memsz;
  if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0 && end > begin) {
    if (object->text_high == 0 || begin < object->text_low) object->text_low = begin;
    object->text_high = std::max(object->text_high, end);
  } else if (header.p_type == PT_GNU_EH_FRAME) {
    object->eh_frame = EhFrameOf(info, begin);
  } else if (header.p_type == PT_NOTE) {
    const uint64_t size = std::min<uint64_t>(header.p_memsz, kMaxNoteBytes);
    if (Readable(begin, begin + size)) hash->Add(Pointer(begin), size);
  }
}

LoadedObject Describe(const dl_phdr_info& info) {
  LoadedObject object;
  Hash hash;
  object.name = info.dlpi_name;
  object.base = info.dlpi_addr;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    AddSegment(info, info.dlpi_phdr[i], &object, &hash);
    hash.Add(&info.dlpi_phdr[i], sizeof(info.dlpi_phdr[i]));
  }
  object.eh_frame_limit = SegmentEnd(info, object.eh_frame);
  if (object.eh_frame_limit == 0) object.eh_frame = 0;
  hash.Add(&object.base, sizeof(object.base));
  hash.Add(info.dlpi_name, strlen(info.dlpi_name));
  object.identity = hash.value();
  return object;
}

// Copies .eh_frame up to its terminator, a page at a time: where that is shows in the copy.
class SectionCopy {
 public:
  SectionCopy(uint64_t begin, uint64_t end, TableMemory* memory)
      : begin_(begin), end_(end), memory_(memory) {}

  bool Run(size_t* size) {
    constexpr uint32_t kExtended = 0xffffffff;
    for (uint64_t record = 0;;) {
      uint32_t length = 0;
      if (record + sizeof(length) > end_ - begin_) break;
      if (!CopyUpTo(record + sizeof(length))) return false;
      memcpy(&length, memory_->As<uint8_t>() + record, sizeof(length));
      const uint64_t next = record + sizeof(length) + length;
      if (length == 0 || length == kExtended || next > end_ - begin_) break;
      if (!CopyUpTo(next)) return false;
      record = next;
    }
    *size = copied_;
    return copied_ != 0;
  }

 private:
  bool CopyUpTo(uint64_t offset) {
    while (copied_ < offset) {
      const uint64_t from = begin_ + copied_;
      const uint64_t to = std::min((from | kPageMask) + 1, end_);
      if (copied_ + (to - from) > memory_->size() && !memory_->Grow(memory_->size() * 2 + 1)) {
        return false;
      }
      if (!PageReadable(from & ~kPageMask)) return false;
      memcpy(memory_->As<uint8_t>() + copied_, Pointer(from), to - from);
      copied_ += to - from;
    }
    return true;
  }

  const uint64_t begin_;
  const uint64_t end_;
  TableMemory* const memory_;
  uint64_t copied_ = 0;
};

struct CopyRequest {
  const LoadedObject* object;
  TableMemory* memory;
  size_t size = 0;
  bool copied = false;
};

int CopyIfSame(dl_phdr_info* info, size_t, void* context) {
  auto* const request = static_cast<CopyRequest*>(context);
  const LoadedObject& wanted = *request->object;
  if (info->dlpi_addr != wanted.base || info->dlpi_name != wanted.name) return 0;
  const uint64_t limit =
      std::min(SegmentEnd(*info, wanted.eh_frame), wanted.eh_frame + kMaxSectionSize);
  if (limit != wanted.eh_frame_limit) return 1;
  request->copied = SectionCopy(wanted.eh_frame, limit, request->memory).Run(&request->size);
  return 1;
}

struct ListRequest {
  std::vector<LoadedObject>* objects;
  bool complete = true;
};

// No exception may pass through the loader.
int AppendObject(dl_phdr_info* info, size_t, void* context) {
  auto* const request = static_cast<ListRequest*>(context);
  try {
    LoadedObject object = Describe(*info);
    if (object.text_high != 0) request->objects->push_back(std::move(object));
  } catch (const std::bad_alloc&) {
    request->complete = false;
  }
  return request->complete ? 0 : 1;
}

int ReadGeneration(dl_phdr_info* info, size_t size, void* context) {
  if (size >= offsetof(dl_phdr_info, dlpi_subs) + sizeof(info->dlpi_subs)) {
    *static_cast<LoadGeneration*>(context) = {info->dlpi_adds, info->dlpi_subs};
  }
  return 1;
}

}  // namespace

LoadGeneration CurrentLoadGeneration() {
  LoadGeneration generation;
  dl_iterate_phdr(ReadGeneration, &generation);
  return generation;
}

bool ListObjects(std::vector<LoadedObject>* objects) {
  ListRequest request{objects};
  dl_iterate_phdr(AppendObject, &request);
  return request.complete;
}

bool CopyEhFrame(const LoadedObject& object, TableMemory* memory, EhFrameSection* section) {
  CopyRequest request{&object, memory};
  dl_iterate_phdr(CopyIfSame, &request);
  *section = {memory->As<uint8_t>(), request.size, object.eh_frame};
  return request.copied;
}

}  // namespace sonde
