// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_section.h"

#include <string.h>

#include <algorithm>

namespace sonde {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kMaxSectionSize = uint64_t{256} << 20;
// The shortest function has a byte, and a chunk 64 KiB; the largest libraries have 1,500 in one.
constexpr size_t kMaxFunctions = 16384;
// Of programs, in one chunk: hostile records may overlap, and then they would be run many times.
constexpr uint64_t kMaxProgramBytes = uint64_t{1} << 20;
// Functions that are neighbours in the code mostly are in .eh_frame, too: one read for all.
constexpr uint64_t kMaxSpan = uint64_t{256} << 10;
constexpr uint64_t kTypicalFde = 128;
constexpr uint32_t kMaxCie = 1024 + 4;
constexpr uint32_t kMaxFde = 64 << 10;

struct RawPair {
  int32_t function;
  int32_t fde;
};
constexpr uint64_t kTableAt = 12;  // behind the start of .eh_frame_hdr, which distances refer to

}  // namespace

bool PartialSection::Reserve() {
  size_ = std::min(object_.eh_frame_limit - object_.eh_frame, kMaxSectionSize);
  if (copy_.size() != 0) return true;
  copied_.assign((size_ + kPageSize - 1) / kPageSize, false);
  return copy_.Grow(size_);
}

bool PartialSection::ReadPairs(uint32_t first, uint32_t count) {
  std::vector<RawPair> raw(count);
  const uint64_t header = object_.search_table - kTableAt;
  const uint64_t at = object_.search_table + uint64_t{first} * sizeof(RawPair);
  if (!memory_.Read(at, raw.data(), count * sizeof(RawPair))) return false;
  read_.clear();
  for (const RawPair& pair : raw) {
    read_.push_back({header + static_cast<uint64_t>(int64_t{pair.function}),
                     header + static_cast<uint64_t>(int64_t{pair.fde}) - object_.eh_frame});
  }
  return true;
}

// The last pair whose function starts at or before `low`: that function may reach into the chunk.
bool PartialSection::FindFirst(uint64_t low, uint32_t* first) {
  uint32_t begin = 0;
  for (uint32_t size = object_.functions; size > 0;) {
    const uint32_t half = size / 2;
    if (!ReadPairs(begin + half, 1)) return false;
    const bool right = read_[0].function <= low;
    begin += right ? half + 1 : 0;
    size = right ? size - half - 1 : half;
  }
  *first = begin == 0 ? 0 : begin - 1;
  return true;
}

bool PartialSection::CollectPairs(uint64_t low, uint64_t high) {
  constexpr uint32_t kAtOnce = 256;
  uint32_t next;
  pairs_.clear();
  if (!FindFirst(low, &next)) return false;
  while (next < object_.functions && pairs_.size() < kMaxFunctions) {
    const uint32_t count = std::min(kAtOnce, object_.functions - next);
    if (!ReadPairs(next, count)) return false;
    for (const Pair& pair : read_) {
      if (pair.function >= high) return true;
      if (pair.fde < size_) pairs_.push_back(pair);
    }
    next += count;
  }
  return true;
}

bool PartialSection::Ensure(uint64_t offset, uint64_t size) {
  if (offset > size_ || size > size_ - offset) return false;
  const size_t end = (offset + size + kPageSize - 1) / kPageSize;
  for (size_t page = offset / kPageSize; page < end; ++page) {
    if (copied_[page]) continue;
    size_t last = page + 1;
    while (last < end && !copied_[last]) ++last;
    const uint64_t from = page * kPageSize;
    const uint64_t to = std::min(last * kPageSize, size_);
    if (!memory_.Read(object_.eh_frame + from, copy_.As<uint8_t>() + from, to - from)) return false;
    std::fill(copied_.begin() + static_cast<ptrdiff_t>(page),
              copied_.begin() + static_cast<ptrdiff_t>(last), true);
  }
  return true;
}

bool PartialSection::CopyNeighbours() {
  if (pairs_.empty()) return true;
  const auto [first, last] = std::minmax_element(
      pairs_.begin(), pairs_.end(), [](const Pair& a, const Pair& b) { return a.fde < b.fde; });
  const uint64_t end = std::min(last->fde + kTypicalFde, size_);
  return end - first->fde > kMaxSpan || Ensure(first->fde, end - first->fde);
}

// The record at `offset`, and its CIE.
bool PartialSection::EnsureFde(uint64_t offset, uint32_t* length) {
  uint32_t distance, cie_length;
  if (!Ensure(offset, 8)) return false;
  memcpy(length, copy_.As<uint8_t>() + offset, sizeof(*length));
  memcpy(&distance, copy_.As<uint8_t>() + offset + 4, sizeof(distance));
  const uint64_t id_at = offset + 4;
  if (*length > kMaxFde || distance == 0 || distance > id_at) return false;
  if (!Ensure(id_at, *length)) return false;
  const uint64_t cie = id_at - distance;
  if (!Ensure(cie, sizeof(cie_length))) return false;
  memcpy(&cie_length, copy_.As<uint8_t>() + cie, sizeof(cie_length));
  return cie_length <= kMaxCie && Ensure(cie + sizeof(cie_length), cie_length);
}

// The object may have gone and another come meanwhile: its fingerprint tells.
PartialSection::Outcome PartialSection::Build(uint64_t low, uint64_t high,
                                              UnwindRowBuilder& builder, UnwindBlock* out) {
  if (!Reserve()) return Outcome::kNoMemory;
  if (!CollectPairs(low, high) || !CopyNeighbours()) return Outcome::kUnreadable;
  EhFrameReader reader({copy_.As<uint8_t>(), size_, object_.eh_frame});
  builder.Begin(low, high);
  uint64_t program_bytes = 0;
  for (const Pair& pair : pairs_) {
    uint32_t length;
    EhFrameFde fde;
    if (!EnsureFde(pair.fde, &length) || !reader.ReadAt(static_cast<uint32_t>(pair.fde), &fde)) {
      continue;
    }
    program_bytes += length;
    if (program_bytes > kMaxProgramBytes) break;
    if (!builder.Add(fde)) return Outcome::kNoMemory;
  }
  if (!builder.Finish(reader, out)) return Outcome::kNoMemory;
  const bool same = FingerprintOf(memory_, object_.image) == object_.fingerprint;
  return same ? Outcome::kBuilt : Outcome::kUnreadable;
}

}  // namespace sonde
