// SPDX-License-Identifier: Apache-2.0
// Who made the service's own mappings, and how much of them is in memory: for the memory page. The
// hooks know the sampled mappings of this process, pagemap their pages. Agent thread only. Memory:
// one entry a call stack, and there are at most kMaxMappedPieces pieces.
#pragma once

#include <vector>

#include "collectors/memory_page.h"
#include "collectors/memory_page_pages.h"

namespace sonde::life {

// Largest in memory first, at most `most`. What the budget does not suffice for is left out.
std::vector<MmapSite> ReadMmapSites(ResidentPages* pages, const WorkBudget& budget, size_t most);

}  // namespace sonde::life
