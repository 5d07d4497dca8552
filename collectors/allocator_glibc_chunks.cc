// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_glibc_chunks.h"

#include <string.h>

#include <algorithm>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kChunkAlignment = 16;
// The smallest chunk is 32 bytes; fences between foreign pieces of brk memory have 16.
constexpr uint64_t kFenceBytes = 16;
constexpr uint64_t kSmallestChunk = 32;
constexpr uint32_t kMaxSetbacks = 64;
constexpr size_t kRemembered = 64;
constexpr size_t kMaxOutsideLinks = 16;
constexpr uint32_t kChunksBetweenLooks = 4096;
constexpr int kTrialChunks = 8;
constexpr uint64_t kSizeInHeapInfo = 2 * sizeof(uint64_t);
constexpr uint64_t kMaxHeapBytes = uint64_t{64} << 20;
constexpr uint64_t kMostGrowth = uint64_t{1} << 40;

// A chunk that the walk has reached: its size with flags.
bool IsPlausible(uint64_t at, uint64_t head, const ChunkRange& range) {
  const uint64_t size = head & ~kChunkFlags;
  if ((head & kChunkIsMapping) != 0) return false;
  if (range.main_arena && (head & kChunkOtherArena) != 0) return false;
  return size >= kFenceBytes && size % kChunkAlignment == 0 && size <= range.high - at;
}

class Walker {
 public:
  Walker(HeapReader* reader, ResidentPages* pages, const ChunkRange& range,
         const WorkBudget& budget)
      : reader_(reader), pages_(pages), range_(range), budget_(budget) {
    reader_->SetEnd(range.high);
    walk_.tally.at = range.low;
  }

  ChunkWalk Run() {
    uint64_t head = 0;
    while (!walk_.complete) {
      if (++steps_ % kChunksBetweenLooks == 0 && budget_.IsUsedUp()) {
        walk_.out_of_budget = true;
        break;
      }
      Remember();
      if (!(ReadHead(walk_.tally.at, &head) && Step(head)) && !SetBack()) break;
    }
    walk_.high = range_.high;
    return std::move(walk_);
  }

 private:
  bool ReadHead(uint64_t at, uint64_t* head) {
    if (!reader_->Word(at + sizeof(uint64_t), head)) return false;
    if (IsPlausible(at, *head, range_)) return true;
    const bool too_long = (*head & ~kChunkFlags) > range_.high - at;
    return too_long && HasGrown() && IsPlausible(at, *head, range_);
  }

  // The top chunk ends where the heap ends now.
  bool HasGrown() {
    uint64_t end = 0;
    if (range_.main_arena) {
      end = static_cast<uint64_t>(sys::Call(SYS_brk, 0L));
    } else if (reader_->WordAnywhere(range_.heap_info + kSizeInHeapInfo, &end)) {
      end = end <= kMaxHeapBytes ? end + range_.heap_info : 0;
    }
    if (end <= range_.high || end - range_.high > kMostGrowth) return false;
    range_.high = end;
    reader_->SetEnd(end);
    return true;
  }

  // Whether a chunk is free is noted in the next one.
  bool Step(uint64_t head) {
    const uint64_t size = head & ~kChunkFlags;
    const uint64_t next = walk_.tally.at + size;
    bool free = true;
    if (range_.high - next < kSmallestChunk) {
      walk_.complete = true;
      free = size > kFenceBytes;
    } else {
      uint64_t next_head = 0;
      if (!ReadHead(next, &next_head)) return false;
      free = (next_head & kChunkInUseBefore) == 0;
    }
    if (free) {
      AddFree(walk_.tally.at, size);
    } else {
      walk_.tally.in_use += size;
    }
    walk_.tally.at = next;
    return true;
  }

  void AddFree(uint64_t at, uint64_t size) {
    walk_.tally.free += size;
    const uint64_t low = (at + kSmallestChunk + kPageBytes - 1) / kPageBytes * kPageBytes;
    const uint64_t high = (at + size) / kPageBytes * kPageBytes;
    if (high > low) {
      PageCounts counts;
      pages_->Count(low, high, budget_, &counts);
      walk_.tally.free_out += high - low - std::min(high - low, counts.present);
    }
    if (walk_.outside_links.size() < kMaxOutsideLinks && !walk_.complete) NoteLinks(at);
  }

  void NoteLinks(uint64_t at) {
    for (const uint64_t offset : {2 * sizeof(uint64_t), 3 * sizeof(uint64_t)}) {
      uint64_t link = 0;
      if (!reader_->Word(at + offset, &link) || link == 0) continue;
      if (link < range_.low || link >= range_.high) walk_.outside_links.push_back(link);
    }
  }

  void Remember() { remembered_[count_++ % kRemembered] = walk_.tally; }

  // 1, 2, 4 … chunks back, whatever was read ahead forgotten.
  bool SetBack() {
    if (++walk_.setbacks > kMaxSetbacks) return false;
    const size_t limit = std::min({count_, kRemembered, size_t{1} << (walk_.setbacks % 6 + 1)});
    count_ -= limit - 1;
    walk_.tally = remembered_[(count_ - 1) % kRemembered];
    --count_;
    walk_.complete = false;
    reader_->Drop();
    return true;
  }

  HeapReader* reader_;
  ResidentPages* pages_;
  ChunkRange range_;
  const WorkBudget budget_;
  ChunkWalk walk_;
  uint32_t steps_ = 0;
  size_t count_ = 0;
  std::array<ChunkTally, kRemembered> remembered_;
};

}  // namespace

void HeapReader::SetEnd(uint64_t high) {
  end_ = high;
  Drop();
}

// A read that follows the last one fetches more: walks are sequential, jumps over large blocks are
// not.
bool HeapReader::Fill(uint64_t address) {
  const bool follows = address >= low_ && address - low_ < 2 * buffer_.size() && size_ != 0;
  ahead_ = follows ? std::min<uint64_t>(buffer_.size(), ahead_ * 2) : kPageBytes;
  low_ = address & ~(kChunkAlignment - 1);
  size_ = std::min(ahead_, end_ - low_);
  size_ = pages_->PresentUntil(low_, low_ + size_) - low_;
  if (size_ != 0 && memory_.Read(low_, buffer_.data(), size_)) return true;
  size_ = std::min(kPageBytes - low_ % kPageBytes, end_ - low_);
  if (memory_.Read(low_, buffer_.data(), size_)) return true;
  Drop();
  return false;
}

bool HeapReader::Word(uint64_t address, uint64_t* value) {
  if (address < low_ || address + sizeof(*value) > low_ + size_) {
    if (address + sizeof(*value) > end_ || !Fill(address)) return false;
    if (address + sizeof(*value) > low_ + size_) return false;
  }
  memcpy(value, buffer_.data() + (address - low_), sizeof(*value));
  return true;
}

ChunkWalk WalkChunks(HeapReader* reader, ResidentPages* pages, const ChunkRange& range,
                     const WorkBudget& budget) {
  return Walker(reader, pages, range, budget).Run();
}

bool LooksLikeChunks(HeapReader* reader, const ChunkRange& range) {
  reader->SetEnd(range.high);
  uint64_t at = range.low;
  for (int count = 0; count < kTrialChunks; ++count) {
    if (range.high - at < kSmallestChunk) return count > 0;
    uint64_t head = 0;
    if (!reader->Word(at + sizeof(uint64_t), &head) || !IsPlausible(at, head, range)) return false;
    at += head & ~kChunkFlags;
  }
  return true;
}

}  // namespace sonde
