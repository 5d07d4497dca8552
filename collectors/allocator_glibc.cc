// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_glibc.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "collectors/allocator_glibc_chunks.h"

namespace sonde {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kWord = sizeof(uint64_t);
constexpr uint64_t kMaxHeapBytes = uint64_t{64} << 20;  // and what each is aligned to

// A malloc_state, by distance from its `top`: ten fast bins end there, then one word, then the
// bins.
constexpr size_t kFastBins = 10;
constexpr size_t kBins = 127;
constexpr uint64_t kBinsAfterTop = 2 * kWord;
constexpr uint64_t kBinWidth = 2 * kWord;
// {bins, binmap, next, next_free, [attached_threads since 2.23,] system_mem, max_system_mem}
constexpr uint64_t kStateEndAfterTop = kBinsAfterTop + kBins * kBinWidth + 2 * kWord + 5 * kWord;
// Some may be changing; memory that is no malloc_state has hardly one.
constexpr size_t kBinsThatConvince = 100;
constexpr uint64_t kLargestFastChunk = 176;
constexpr uint32_t kMaxFastChunks = 200'000;

// Probes for the start of a large block in memory that belongs to something else.
constexpr uint32_t kMaxProbes = 1024;
constexpr uint64_t kMaxSwappedShare = 4;  // a quarter: a walk would bring the rest back in

struct HeapInfo {  // glibc's heap_info; what follows differs between versions
  uint64_t arena;
  uint64_t previous;
  uint64_t size;
  uint64_t accessible_size;
};

struct ArenaHeap {
  uint64_t low = 0;
  uint64_t high = 0;
  uint64_t arena = 0;  // its malloc_state
};

class GlibcWalk {
 public:
  GlibcWalk(const ProcessMemory& memory, ResidentPages* pages,
            const std::vector<SurveyedRegion>& regions, const WorkBudget& budget)
      : memory_(memory),
        reader_(memory, pages),
        pages_(pages),
        regions_(regions),
        budget_(budget) {}

  GlibcHeap Run() {
    for (const SurveyedRegion& region : regions_) {
      if (region.pages.present == 0 || !region.writable) continue;
      if (region.kind == RegionKind::kBrk) WalkBrk(region);
      if (region.kind == RegionKind::kAnonymous) ScanAnonymous(region);
    }
    for (const ArenaHeap& heap : heaps_) WalkArenaHeap(heap);
    for (const uint64_t top : tops_) CountFastBins(top);
    heap_.arenas = static_cast<uint32_t>(tops_.size());
    Extrapolate();
    return std::move(heap_);
  }

 private:
  void WalkBrk(const SurveyedRegion& region) {
    heap_.resident += region.pages.present;
    if (IsSwapped(region)) {
      heap_.total += region.size();
      return;
    }
    const ChunkWalk walk = Walk({region.low, region.high, /*main_arena=*/true});
    for (const uint64_t link : walk.outside_links) {
      if (heap_.main_arena_known) break;
      FindMainArena(link);
    }
  }

  [[nodiscard]] bool IsSwapped(const SurveyedRegion& region) {
    if (region.pages.swapped * kMaxSwappedShare < region.size()) return false;
    heap_.problem = "much of the heap is swapped out, and a walk would bring it back";
    return true;
  }

  ChunkWalk Walk(const ChunkRange& range) {
    ChunkWalk walk = WalkChunks(&reader_, pages_, range, budget_);
    const ChunkTally& tally = walk.tally;
    heap_.walked += tally.at - range.low;
    heap_.total += walk.high - range.low;
    heap_.given_out += tally.in_use;
    heap_.free_addresses += tally.free;
    heap_.free += tally.free - tally.free_out;
    heap_.setbacks += walk.setbacks;
    if (!walk.complete && heap_.problem.empty()) {
      heap_.problem = walk.out_of_budget ? "the time for walking the heap was used up"
                                         : "the heap changed too fast to be walked";
    }
    return walk;
  }

  // A bin's links lead to the arena: `link` is bin `i` of a malloc_state whose `top` is at
  // link - i * 16.
  void FindMainArena(uint64_t link) {
    for (size_t bin = 0; bin < kBins; ++bin) {
      const uint64_t top = link - bin * kBinWidth;
      if (!IsState(top)) continue;
      tops_.push_back(top);
      heap_.main_arena_known = true;
      return;
    }
  }

  [[nodiscard]] bool IsState(uint64_t top) const {
    std::array<uint64_t, 2 * kBins> links;
    if (top % kWord != 0 || !memory_.Read(top + kBinsAfterTop, links.data(), sizeof(links)))
      return false;
    size_t right = 0;
    for (size_t bin = 0; bin < kBins && right + kBins >= kBinsThatConvince + bin; ++bin)
      right += IsBin(top + bin * kBinWidth, links[2 * bin], links[2 * bin + 1]);
    return right >= kBinsThatConvince;
  }

  // A ring: an empty bin is linked to itself, another one's first chunk links back to it.
  [[nodiscard]] bool IsBin(uint64_t itself, uint64_t first, uint64_t last) const {
    if (first == itself || last == itself) return first == last;
    uint64_t back = 0;
    return first % 16 == 0 && memory_.ReadObject(first + 3 * kWord, &back) && back == itself;
  }

  // Arena heaps and large blocks; mappings merge, so either may begin anywhere in one.
  void ScanAnonymous(const SurveyedRegion& region) {
    uint32_t probes = 0;
    for (uint64_t at = region.low; at < region.high && probes < kMaxProbes;) {
      const uint64_t taken = TakeArenaHeap(at, region.high) + TakeLargeBlock(at, region.high);
      probes = taken != 0 ? 0 : probes + 1;
      at += taken != 0 ? taken : kPageBytes;
    }
    // The rest: arena heaps only, where they can be.
    const uint64_t first = (region.low + kMaxHeapBytes - 1) & ~(kMaxHeapBytes - 1);
    for (uint64_t at = first; at < region.high; at += kMaxHeapBytes) TakeArenaHeap(at, region.high);
  }

  // Bytes that the heap at `at` takes; 0: there is none.
  uint64_t TakeArenaHeap(uint64_t at, uint64_t end) {
    HeapInfo info;
    if (at % kMaxHeapBytes != 0 || !memory_.ReadObject(at, &info)) return 0;
    const bool plausible = info.size >= kPageBytes && info.size % kPageBytes == 0 &&
                           info.size <= end - at && info.size <= info.accessible_size &&
                           info.accessible_size <= kMaxHeapBytes &&
                           info.previous % kMaxHeapBytes == 0 && info.arena % kWord == 0 &&
                           info.arena % kMaxHeapBytes < kPageBytes && info.arena != 0;
    if (!plausible) return 0;
    const bool known = std::any_of(heaps_.begin(), heaps_.end(),
                                   [at](const ArenaHeap& heap) { return heap.low == at; });
    if (!known) heaps_.push_back({at, at + info.size, info.arena});
    return info.size;
  }

  uint64_t TakeLargeBlock(uint64_t at, uint64_t end) {
    std::array<uint64_t, 2> head;
    if (end - at < kPageBytes || !memory_.Read(at, head.data(), sizeof(head))) return 0;
    const uint64_t size = head[1] & ~kChunkFlags;
    if (head[0] != 0 || (head[1] & kChunkFlags) != kChunkIsMapping) return 0;
    if (size == 0 || size % kPageBytes != 0 || size > end - at) return 0;
    PageCounts counts;
    pages_->Count(at, at + size, budget_, &counts);
    heap_.resident += counts.present;
    heap_.large_blocks += size;
    heap_.given_out += size;
    return size;
  }

  void WalkArenaHeap(const ArenaHeap& heap) {
    PageCounts counts;
    pages_->Count(heap.low, heap.high, budget_, &counts);
    const bool has_state = heap.arena >= heap.low && heap.arena < heap.high;
    const uint64_t top = has_state ? TopOfState(heap.arena) : 0;
    const uint64_t first = has_state ? FirstChunkAfterState(heap, top) : FirstChunk(heap);
    if (first == 0) return;  // something else that looked like a heap
    if (has_state) tops_.push_back(top);
    heap_.resident += counts.present;
    Walk({first, heap.high, /*main_arena=*/false, heap.low});
  }

  // The address of its `top`: two or three words of flags, then the fast bins, come before.
  [[nodiscard]] uint64_t TopOfState(uint64_t state) const {
    for (uint64_t flags = kWord; flags <= 3 * kWord; flags += kWord) {
      const uint64_t top = state + flags + kFastBins * kWord;
      if (IsState(top)) return top;
    }
    return 0;
  }

  [[nodiscard]] uint64_t FirstChunkAfterState(const ArenaHeap& heap, uint64_t top) {
    if (top == 0) return 0;
    const uint64_t end = top + kStateEndAfterTop;
    return FirstThatLooksRight(heap,
                               {(end + 15) & ~uint64_t{15}, (end - kWord + 15) & ~uint64_t{15}});
  }

  [[nodiscard]] uint64_t FirstChunk(const ArenaHeap& heap) {
    return FirstThatLooksRight(heap, {heap.low + 0x30, heap.low + 0x20, heap.low + 0x40});
  }

  [[nodiscard]] uint64_t FirstThatLooksRight(const ArenaHeap& heap,
                                             std::initializer_list<uint64_t> starts) {
    for (const uint64_t start : starts) {
      if (LooksLikeChunks(&reader_, {start, heap.high})) return start;
    }
    return 0;
  }

  [[nodiscard]] bool IsInHeap(uint64_t chunk) const {
    const auto holds = [chunk](uint64_t low, uint64_t high) {
      return chunk >= low && chunk < high;
    };
    return std::any_of(regions_.begin(), regions_.end(),
                       [&](const SurveyedRegion& region) {
                         return region.kind == RegionKind::kBrk && holds(region.low, region.high);
                       }) ||
           std::any_of(heaps_.begin(), heaps_.end(),
                       [&](const ArenaHeap& heap) { return holds(heap.low, heap.high); });
  }

  // Chunks in fast bins are free, but the next chunk does not say so.
  void CountFastBins(uint64_t top) {
    std::array<uint64_t, kFastBins> bins;
    if (!memory_.Read(top - sizeof(bins), bins.data(), sizeof(bins))) return;
    for (const uint64_t first : bins) {
      for (uint64_t chunk = first; chunk != 0 && IsInHeap(chunk);) {
        if (++fast_chunks_ > kMaxFastChunks || budget_.IsUsedUp()) return;
        std::array<uint64_t, 3> words;  // previous size, size, link
        if (chunk % 16 != 0 || !memory_.Read(chunk, words.data(), sizeof(words))) break;
        const uint64_t size = words[1] & ~kChunkFlags;
        if (size > kLargestFastChunk || size > heap_.given_out) break;
        heap_.given_out -= size;
        heap_.free_addresses += size;
        heap_.free += size;
        chunk = FollowLink(chunk, words[2]);
      }
    }
  }

  // Since glibc 2.32 links are mixed with their own address, shifted by a page.
  [[nodiscard]] uint64_t FollowLink(uint64_t chunk, uint64_t link) const {
    if (link == 0) return 0;
    const uint64_t unmixed = link ^ (chunk + 2 * kWord) >> 12;
    return IsInHeap(unmixed) ? unmixed : link;
  }

  void Extrapolate() {
    if (heap_.walked == 0 || heap_.walked >= heap_.total) return;
    const double factor = static_cast<double>(heap_.total) / static_cast<double>(heap_.walked);
    heap_.free = static_cast<uint64_t>(static_cast<double>(heap_.free) * factor);
  }

  const ProcessMemory& memory_;
  HeapReader reader_;
  ResidentPages* pages_;
  const std::vector<SurveyedRegion>& regions_;
  const WorkBudget budget_;
  GlibcHeap heap_;
  std::vector<ArenaHeap> heaps_;
  std::vector<uint64_t> tops_;  // of the arenas that are known
  uint32_t fast_chunks_ = 0;
};

}  // namespace

GlibcHeap WalkGlibcHeap(const ProcessMemory& memory, ResidentPages* pages,
                        const std::vector<SurveyedRegion>& regions, const WorkBudget& budget) {
  return GlibcWalk(memory, pages, regions, budget).Run();
}

}  // namespace sonde
