// SPDX-License-Identifier: Apache-2.0
#include "collectors/memory_page.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sonde {
namespace {

constexpr int64_t kMiB = 1 << 20;
// A hoard is worth a sentence from both of these on.
constexpr double kHoardShare = 0.20;
constexpr int64_t kHoardBytes = 32 << 20;
constexpr double kNearLimit = 0.90;
constexpr double kMostlyCache = 0.50;
constexpr double kFilling = 0.70;  // of the limit: below, nobody wonders about the cache
// Below this nobody asks: a process that has hardly started.
constexpr int64_t kSmallBytes = 4 << 20;

constexpr std::array<std::string_view, kMemoryParts> kNames = {
    "live_heap",      "allocator_free", "allocator_extra", "service_mmap", "shared_memory",
    "code_and_files", "thread_stacks",  "agent",           "unexplained"};

int64_t Signed(uint64_t bytes) { return static_cast<int64_t>(bytes); }

std::string MiB(int64_t bytes) {
  const int64_t half = bytes < 0 ? -kMiB / 2 : kMiB / 2;
  return std::to_string((bytes + half) / kMiB) + " MiB";
}

struct AllocatorSum {
  int64_t resident = 0;
  int64_t in_use = 0;
  int64_t free = 0;
  bool any = false;
  bool all = true;  // every allocator that was found is counted
};

AllocatorSum SumUp(const std::vector<AllocatorNumbers>& allocators) {
  AllocatorSum sum;
  for (const AllocatorNumbers& one : allocators) {
    sum.any |= one.counted;
    sum.all &= one.counted;
    if (!one.counted) continue;
    sum.resident += Signed(one.resident);
    sum.in_use += Signed(one.in_use);
    sum.free += Signed(one.free);
  }
  return sum;
}

class Arithmetic {
 public:
  explicit Arithmetic(MemoryFacts facts) { page_.facts = std::move(facts); }

  MemoryPage Make() {
    SplitMapped();
    SplitHeap();
    SplitCgroup();
    int64_t explained = 0;
    for (const int64_t part : page_.parts) explained += part;
    Set(MemoryPart::kUnexplained, Signed(page_.facts.rss) - explained);
    if (page_.facts.rss > 0) {
      page_.unexplained_share = std::abs(static_cast<double>(Of(MemoryPart::kUnexplained))) /
                                static_cast<double>(page_.facts.rss);
    }
    Judge();
    return std::move(page_);
  }

 private:
  void Set(MemoryPart part, int64_t bytes) { page_.parts[static_cast<size_t>(part)] = bytes; }
  [[nodiscard]] int64_t Of(MemoryPart part) const { return page_.Part(part); }

  void SplitMapped() {
    const MappedMemory& mapped = page_.facts.mapped;
    Set(MemoryPart::kSharedMemory, Signed(mapped.shared));
    Set(MemoryPart::kCodeAndFiles, Signed(mapped.files));
    Set(MemoryPart::kThreadStacks, Signed(mapped.stacks));
    Set(MemoryPart::kAgent, Signed(mapped.agent));
    anonymous_ = std::max(Signed(mapped.anonymous) - ZeroPages(), int64_t{0});
  }

  // Pages that were read and never written show in pagemap but not in the RSS. A page that is
  // shared after a fork looks the same and does count; what the sum exceeds the RSS by tells.
  [[nodiscard]] int64_t ZeroPages() const {
    const MappedMemory& mapped = page_.facts.mapped;
    const int64_t sum =
        Signed(mapped.anonymous + mapped.shared + mapped.files + mapped.stacks + mapped.agent);
    return std::clamp(sum - Signed(page_.facts.rss), int64_t{0}, Signed(mapped.ambiguous));
  }

  // An allocator counts pages that it has not touched yet as its own; what is in memory bounds it.
  void SplitHeap() {
    sum_ = SumUp(page_.facts.allocators);
    const LiveHeapEstimate& live = page_.facts.live;
    page_.live_is_sampled = live.sampled;
    if (!sum_.any) {
      const int64_t shown = live.sampled ? std::min(Signed(live.bytes), anonymous_) : 0;
      Set(MemoryPart::kLiveHeap, shown);
      Set(MemoryPart::kServiceMmap, anonymous_ - shown);
      return;
    }
    const int64_t resident = std::min(sum_.resident, anonymous_);
    const int64_t free = std::min(sum_.free, resident);
    const int64_t given_out = std::min(sum_.in_use, resident - free);
    const int64_t used = live.sampled ? resident - free : given_out;
    const int64_t shown = live.sampled ? std::min(Signed(live.bytes), used) : given_out;
    page_.live_not_in_memory = live.sampled ? Signed(live.bytes) - shown : 0;
    Set(MemoryPart::kLiveHeap, shown);
    Set(MemoryPart::kAllocatorFree, free);
    Set(MemoryPart::kAllocatorExtra, resident - free - shown);
    Set(MemoryPart::kServiceMmap, anonymous_ - resident);
  }

  // The kernel tells shared memory, of which some may be mapped, and what is mapped, of which this
  // process's own files are no shared memory. So it is at least that much.
  [[nodiscard]] int64_t FilesInTmpfs(int64_t not_mapped) const {
    const CgroupMemory& cgroup = page_.facts.cgroup;
    const int64_t shared = Signed(cgroup.file) - Signed(cgroup.file_lists);
    const int64_t mapped = Signed(cgroup.file_mapped) - Signed(page_.facts.mapped.files);
    return std::clamp<int64_t>(shared - std::max<int64_t>(mapped, 0), 0,
                               std::max<int64_t>(not_mapped, 0));
  }

  void SplitCgroup() {
    const CgroupMemory& cgroup = page_.facts.cgroup;
    if (cgroup.version == 0) return;
    const int64_t not_mapped = Signed(cgroup.file) - Signed(cgroup.file_mapped);
    page_.cgroup.tmpfs = cgroup.has_lists ? FilesInTmpfs(not_mapped) : 0;
    page_.cgroup.page_cache = not_mapped - page_.cgroup.tmpfs;
    page_.cgroup.kernel = Signed(cgroup.kernel);
    page_.cgroup.other =
        Signed(cgroup.current) - Signed(page_.facts.rss) - not_mapped - page_.cgroup.kernel;
  }

  [[nodiscard]] bool Hoards() const {
    const int64_t free = Of(MemoryPart::kAllocatorFree);
    return free >= kHoardBytes &&
           static_cast<double>(free) >= kHoardShare * static_cast<double>(page_.facts.rss);
  }

  // Near the limit, counting what the kernel could drop at once as not used.
  [[nodiscard]] bool IsNearLimit() const {
    const CgroupMemory& cgroup = page_.facts.cgroup;
    if (cgroup.version == 0 || cgroup.limit == 0) return false;
    const int64_t held = Signed(cgroup.current) - page_.cgroup.page_cache;
    return static_cast<double>(held) >= kNearLimit * static_cast<double>(cgroup.limit);
  }

  [[nodiscard]] bool IsMostlyCache() const {
    const CgroupMemory& cgroup = page_.facts.cgroup;
    return cgroup.version != 0 && cgroup.limit != 0 && page_.cgroup.page_cache > kHoardBytes &&
           static_cast<double>(page_.cgroup.page_cache) >
               kMostlyCache * static_cast<double>(cgroup.current) &&
           static_cast<double>(cgroup.current) > kFilling * static_cast<double>(cgroup.limit);
  }

  void Say(MemoryVerdict verdict, std::string text) {
    page_.verdict = verdict;
    page_.verdict_text = std::move(text);
  }

  void Judge() {
    const std::string limit = MiB(Signed(page_.facts.cgroup.limit));
    if (!sum_.any || !sum_.all) {
      Say(MemoryVerdict::kNotCovered, "not covered: " + WhyNotCovered());
    } else if (page_.unexplained_share > kMaxUnexplained &&
               std::abs(Of(MemoryPart::kUnexplained)) > kSmallBytes) {
      Say(MemoryVerdict::kUnexplained,
          MiB(Of(MemoryPart::kUnexplained)) + " of the RSS are in no part of this page");
    } else if (Hoards()) {
      Say(MemoryVerdict::kAllocatorKeeps,
          "the allocator keeps " + MiB(Of(MemoryPart::kAllocatorFree)) + " (not a leak)" +
              (IsNearLimit() ? ", and the limit of " + limit + " is near" : ""));
    } else if (IsNearLimit()) {
      Say(MemoryVerdict::kLiveHeap, "the limit of " + limit + " is near, and " +
                                        MiB(Of(MemoryPart::kLiveHeap)) +
                                        " are live heap: look at two moments to tell a leak");
    } else if (IsMostlyCache()) {
      Say(MemoryVerdict::kPageCache,
          "page cache: " + MiB(page_.cgroup.page_cache) + ", which the kernel drops when needed");
    } else {
      Say(MemoryVerdict::kNothingUnusual, "nothing unusual");
    }
  }

  [[nodiscard]] std::string WhyNotCovered() const {
    for (const AllocatorNumbers& one : page_.facts.allocators) {
      if (!one.counted) return one.name + ": " + one.problem;
    }
    return "no allocator was found that can be asked";
  }

  MemoryPage page_;
  AllocatorSum sum_;
  int64_t anonymous_ = 0;
};

}  // namespace

std::string_view MemoryPartName(MemoryPart part) { return kNames[static_cast<size_t>(part)]; }

std::string_view MemoryVerdictName(MemoryVerdict verdict) {
  switch (verdict) {
    case MemoryVerdict::kNothingUnusual:
      return "nothing_unusual";
    case MemoryVerdict::kAllocatorKeeps:
      return "allocator_keeps";
    case MemoryVerdict::kPageCache:
      return "page_cache";
    case MemoryVerdict::kLiveHeap:
      return "live_heap_near_limit";
    case MemoryVerdict::kUnexplained:
      return "unexplained";
    case MemoryVerdict::kNotCovered:
      return "not_covered";
  }
  return "unknown";
}

MemoryPage MakeMemoryPage(MemoryFacts facts) { return Arithmetic(std::move(facts)).Make(); }

}  // namespace sonde
