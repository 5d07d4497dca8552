// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_mmap_sites.h"

#include <algorithm>
#include <map>
#include <utility>

#include "collectors/safe/heap_math.h"
#include "collectors/safe/heap_sampler.h"
#include "collectors/safe/mapping_sampler.h"

namespace sonde::life {
namespace {

struct SiteSum {
  double mapped = 0;
  double resident = 0;
};
using StackName = std::pair<uint32_t, uint32_t>;  // of StackId

std::map<StackName, SiteSum> SumByStack(const Region& region, ResidentPages* pages,
                                        const WorkBudget& budget) {
  std::map<StackName, SiteSum> sums;
  for (uint32_t slot = 0; slot < g_heap.mappings.used() && !budget.IsUsedUp(); ++slot) {
    MappedPiece piece;
    LiveBlock block;
    if (!g_heap.mappings.Read(slot, &piece) || !ReadLiveNamed(region, piece.live, &block)) continue;
    PageCounts counts;
    pages->Count(piece.low, piece.high, budget, &counts);
    const double weight = SampleWeight(block.born_size, block.interval);
    SiteSum& sum = sums[{block.stack.index, block.stack.generation}];
    sum.mapped += weight * static_cast<double>(piece.high - piece.low);
    sum.resident += weight * static_cast<double>(counts.present);
  }
  return sums;
}

}  // namespace

std::vector<MmapSite> ReadMmapSites(ResidentPages* pages, const WorkBudget& budget, size_t most) {
  std::vector<MmapSite> sites;
  if (!HeapIsOn()) return sites;
  ForgetUnmapped();
  const Region& region = CurrentHeapSetup().region;
  for (const auto& [stack, sum] : SumByStack(region, pages, budget)) {
    uint64_t frames[kMaxDepth];
    uint16_t flags = 0;
    const uint32_t depth = ReadStack(region, {stack.first, stack.second}, frames, &flags);
    if (depth == 0) continue;
    sites.push_back({static_cast<uint64_t>(sum.mapped),
                     static_cast<uint64_t>(sum.resident),
                     {frames, frames + depth}});
  }
  std::ranges::sort(sites, [](const MmapSite& a, const MmapSite& b) {
    return std::pair(a.resident, a.bytes) > std::pair(b.resident, b.bytes);
  });
  if (sites.size() > most) sites.erase(sites.begin() + static_cast<ptrdiff_t>(most), sites.end());
  return sites;
}

}  // namespace sonde::life
