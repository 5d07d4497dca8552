// SPDX-License-Identifier: Apache-2.0
#include "profile/unpacked_program.h"

#include <algorithm>

#include "profile/elf_file.h"

namespace sonde {
namespace {

constexpr uint64_t kPageBytes = 4096;

// nullptr: none of the program's code begins there.
const ElfSegment* SegmentAt(const std::vector<ElfSegment>& segments, uint64_t address) {
  const auto found = std::ranges::find_if(segments, [address](const ElfSegment& segment) {
    return segment.executable && address >= segment.address &&
           address - segment.address < segment.memory_size;
  });
  return found == segments.end() ? nullptr : &*found;
}

}  // namespace

bool FindUnpackedProgram(uint64_t headers, const MemoryReader& reader, std::string_view path,
                         std::vector<Mapping>* mappings) {
  const uint64_t image = headers / kPageBytes * kPageBytes;
  const bool has_file = std::ranges::any_of(*mappings, [headers](const Mapping& mapping) {
    return headers >= mapping.image_start && headers < mapping.image_limit;
  });
  if (headers == 0 || has_file || !reader) return false;
  const auto elf = ElfFile::OpenLoaded(reader, image, image + kPageBytes);
  if (!elf) return false;
  const std::vector<ElfSegment>& segments = (*elf)->segments();
  const auto first = std::ranges::find(segments, uint64_t{0}, &ElfSegment::offset);
  if (first == segments.end()) return false;
  bool found = false;
  for (Mapping& mapping : *mappings) {
    if (mapping.path != "//anon" || mapping.start < image) continue;
    const uint64_t address = mapping.start - image + first->address;
    const ElfSegment* const segment = SegmentAt(segments, address);
    if (segment == nullptr) continue;
    mapping.path = path;
    mapping.deleted = true;
    mapping.offset = address - segment->address + segment->offset;
    mapping.image_start = image;
    mapping.image_limit = image + kPageBytes;
    found = true;
  }
  return found;
}

}  // namespace sonde
