// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_objects.h"

#include <string.h>
#include <sys/auxv.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "collectors/unwind_tables_file.h"
#include "collectors/unwind_tables_hash.h"
#include "collectors/unwind_tables_image.h"
#include "collectors/unwind_tables_maps.h"

namespace sonde {
namespace {

constexpr uint64_t kPageMask = 4095;
constexpr uint64_t kMaxSectionSize = uint64_t{256} << 20;
// Before objects are taken out of them.
constexpr size_t kMaxExecutableRegions = 4 * kMaxCodeRanges;

// Of a program that unpacked itself (UPX): no file is mapped, but the loader was told where its
// headers are.
bool HoldsUnpackedHeaders(const MappedRegion& region) {
  const uint64_t headers = getauxval(AT_PHDR);
  return region.inode == 0 && region.name.empty() && region.low <= headers && headers < region.high;
}

// Devices are never read: that may mean something to them.
bool MayStartImage(const MappedRegion& region) {
  if (region.name == "[vdso]" || HoldsUnpackedHeaders(region)) return true;
  const bool device = region.name.starts_with("/dev/") && !region.name.starts_with("/dev/shm/");
  return region.inode != 0 && region.offset == 0 && !device;
}

// Goes through the mappings in their order. The image at hand is the last that may have started;
// it is opened when a later mapping of its file shows that it is more than data.
class CodeScan {
 public:
  CodeScan(const ProcessMemory& memory, const std::vector<uint64_t>& dynamics, CodeList* code)
      : memory_(memory), dynamics_(dynamics), code_(code) {}

  bool Run() {
    MapsReader maps(memory_);
    for (MappedRegion region; maps.Next(&region);) Visit(region);
    FinishImage();
    if (maps.failed()) return false;
    SeparateObjects();
    FindOtherCode();
    return true;
  }

 private:
  void Visit(const MappedRegion& region) {
    if (region.executable && executable_.size() < kMaxExecutableRegions) {
      executable_.push_back({region.low, region.high});
    }
    const bool starts = MayStartImage(region);
    if (starts) StartImage(region);
    if (!starts && !region.SameFile(start_)) return;
    const bool holds_code =
        region.executable || HoldsDynamic(region) || HoldsUnpackedHeaders(region);
    if (!opened_ && holds_code) OpenImage();
    if (is_object_) AddPlace(region);
  }

  void StartImage(const MappedRegion& region) {
    FinishImage();
    start_ = region;
    name_ = region.name;
    opened_ = false;
  }

  bool HoldsDynamic(const MappedRegion& region) const {
    const auto found = std::lower_bound(dynamics_.begin(), dynamics_.end(), region.low);
    return found != dynamics_.end() && *found < region.high;
  }

  void OpenImage() {
    opened_ = true;
    ElfImage image(memory_);
    if (!image.Read(start_.low)) return;
    object_ = LoadedObject();
    hash_ = WordHash();
    image.Describe(&object_, &hash_);
    object_.name = name_;
    hash_.Add(name_.data(), name_.size());
    is_object_ = object_.text_high != 0;
    if (is_object_) AddPlace(start_);
  }

  // While the loader is still mapping an object, other parts of the file lie where its code and its
  // .eh_frame will be: tables made of that must not pass for the finished object's. Pieces of one
  // segment have one distance between place and offset, however often mprotect cuts it.
  void AddPlace(const MappedRegion& region) {
    const bool holds_eh_frame = object_.eh_frame >= region.low && object_.eh_frame < region.high;
    if (!region.executable && !holds_eh_frame) return;
    const uint64_t distance = region.low - region.offset;
    if (std::exchange(last_distance_, distance) != distance) hash_.Add(distance);
  }

  void FinishImage() {
    if (is_object_) {
      object_.identity = hash_.value();
      code_->objects.push_back(std::move(object_));
    }
    is_object_ = false;
    last_distance_ = 0;
    start_ = MappedRegion();
  }

  // Headers may claim what belongs to the next object.
  void SeparateObjects() {
    std::vector<LoadedObject>& objects = code_->objects;
    for (size_t i = 1; i < objects.size(); ++i) {
      LoadedObject& before = objects[i - 1];
      before.text_high = std::min(before.text_high, objects[i].image);
    }
    std::erase_if(objects, [](const auto& object) { return object.text_low >= object.text_high; });
  }

  void FindOtherCode() {
    std::vector<CodeRange>& ranges = code_->other_code;
    auto object = code_->objects.begin();
    const auto end = code_->objects.end();
    for (const CodeRange& range : executable_) {
      while (object != end && object->text_high <= range.low) ++object;
      if (object != end && object->text_low < range.high) continue;
      if (!ranges.empty() && ranges.back().high == range.low) {
        ranges.back().high = range.high;
      } else if (ranges.size() < kMaxCodeRanges) {
        ranges.push_back(range);
      }
    }
  }

  const ProcessMemory& memory_;
  const std::vector<uint64_t>& dynamics_;
  CodeList* const code_;
  std::vector<CodeRange> executable_;
  MappedRegion start_;  // its name is in name_
  std::string name_;
  bool opened_ = false;
  bool is_object_ = false;
  LoadedObject object_;
  WordHash hash_;
  uint64_t last_distance_ = 0;
};

// Copies .eh_frame up to its terminator, a page at a time: where that is shows in the copy.
class SectionCopy {
 public:
  SectionCopy(const ReadableMemory& memory, uint64_t begin, uint64_t end, TableMemory* copy)
      : memory_(memory), begin_(begin), end_(end), copy_(copy) {}

  bool Run(size_t* size) {
    constexpr uint32_t kExtended = 0xffffffff;
    for (uint64_t record = 0;;) {
      uint32_t length = 0;
      if (record + sizeof(length) > end_ - begin_) break;
      if (!CopyUpTo(record + sizeof(length))) return false;
      memcpy(&length, copy_->As<uint8_t>() + record, sizeof(length));
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
      if (copied_ + (to - from) > copy_->size() && !copy_->Grow(copy_->size() * 2 + 1)) {
        return false;
      }
      if (!memory_.Read(from, copy_->As<uint8_t>() + copied_, to - from)) return false;
      copied_ += to - from;
    }
    return true;
  }

  const ReadableMemory& memory_;
  const uint64_t begin_;
  const uint64_t end_;
  TableMemory* const copy_;
  uint64_t copied_ = 0;
};

}  // namespace

bool ListCode(const ProcessMemory& memory, const std::vector<uint64_t>& dynamics, CodeList* code) {
  *code = CodeList();
  return CodeScan(memory, dynamics, code).Run();
}

uint64_t FingerprintOf(const ProcessMemory& memory, uint64_t image) {
  uint8_t bytes[kFingerprintBytes];
  if (!memory.ReadObject(image, &bytes)) return 0;
  return FingerprintOfBytes(bytes);
}

uint64_t FingerprintOfBytes(const uint8_t* bytes) {
  WordHash hash;
  hash.Add(bytes, kFingerprintBytes);
  return hash.value();
}

// The object may have gone and another come while its bytes were copied: its fingerprint tells.
bool CopyEhFrame(const ProcessMemory& memory, const LoadedObject& object, TableMemory* copy,
                 EhFrameSection* section) {
  const uint64_t limit = std::min(object.eh_frame_limit, object.eh_frame + kMaxSectionSize);
  size_t size = 0;
  const EhFrameFile file(memory, object);
  const bool copied =
      (file.is_open() && SectionCopy(file, object.eh_frame, limit, copy).Run(&size)) ||
      SectionCopy(memory, object.eh_frame, limit, copy).Run(&size);
  if (!copied) return false;
  *section = {copy->As<uint8_t>(), size, object.eh_frame};
  return FingerprintOf(memory, object.image) == object.fingerprint;
}

}  // namespace sonde
