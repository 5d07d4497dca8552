// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_arena.h"

#include <linux/mman.h>

#include <algorithm>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kPageSize = 4096;
constexpr size_t kMaxCapacity = size_t{1} << 31;  // extents are 32 bits wide

}  // namespace

TableArena::TableArena(size_t bytes) {
  bytes = std::min(bytes, kMaxCapacity) & ~(kPageSize - 1);
  if (bytes == 0) return;
  const long at =
      sys::Call(SYS_mmap, 0L, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1L, 0L);
  if (sys::Failed(at)) return;
  base_ = reinterpret_cast<uint8_t*>(at);
  capacity_ = bytes;
  free_.push_back({0, static_cast<uint32_t>(bytes)});
}

TableArena::~TableArena() {
  if (capacity_ != 0) sys::Call(SYS_munmap, base_, capacity_);
}

// First fit: tables of objects come first and stay, chunks and indexes come and go behind them.
ArenaPiece TableArena::Allocate(size_t bytes) {
  const size_t size = (bytes + kCacheLine - 1) & ~(kCacheLine - 1);
  free_.reserve(pieces_ + 2);
  const auto fits = [&](const Extent& extent) { return extent.end - extent.begin >= size; };
  const auto found = std::find_if(free_.begin(), free_.end(), fits);
  if (size == 0 || found == free_.end()) return {};
  const ArenaPiece piece{base_ + found->begin, size};
  found->begin += static_cast<uint32_t>(size);
  if (found->begin == found->end) free_.erase(found);
  ++pieces_;
  used_ += size;
  return piece;
}

void TableArena::Free(ArenaPiece piece) {
  if (piece.size == 0) return;
  const auto begin = static_cast<uint32_t>(static_cast<uint8_t*>(piece.data) - base_);
  const Extent freed{begin, begin + static_cast<uint32_t>(piece.size)};
  auto after = std::find_if(free_.begin(), free_.end(),
                            [&](const Extent& extent) { return extent.begin >= freed.end; });
  Extent hole = freed;
  if (after != free_.end() && after->begin == hole.end) {
    hole.end = after->end;
    after = free_.erase(after);
  }
  if (after != free_.begin() && (after - 1)->end == hole.begin) {
    hole.begin = (after - 1)->begin;
    *(after - 1) = hole;
  } else {
    free_.insert(after, hole);
  }
  --pieces_;
  used_ -= piece.size;
  ReturnPages(freed, hole);
}

// Of the hole, the pages that the freed piece had a part in.
void TableArena::ReturnPages(Extent freed, Extent hole) const {
  const size_t first =
      std::max((hole.begin + kPageSize - 1) & ~(kPageSize - 1), freed.begin & ~(kPageSize - 1));
  const size_t last =
      std::min(hole.end & ~(kPageSize - 1), (freed.end + kPageSize - 1) & ~(kPageSize - 1));
  if (first < last) sys::Call(SYS_madvise, base_ + first, last - first, MADV_REMOVE);
}

}  // namespace sonde
