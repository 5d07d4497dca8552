// SPDX-License-Identifier: Apache-2.0
// What the endpoints may ask about the process's memory. agent/life/live_memory.h answers over the
// collectors, tests with known numbers. Agent thread only.
#pragma once

#include <string>
#include <vector>

#include "collectors/memory_page.h"

namespace sonde {

// What came of asking the allocator to give memory back.
struct MemoryRelease {
  bool done = false;
  std::string text;  // what was done, or why not and what to do instead; a sentence
  uint64_t rss_before = 0;
  uint64_t rss_after = 0;
  double took_ms = 0;
};

class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // The page that adds up, read now; or the last one, when that is too young for what it cost.
  [[nodiscard]] virtual const MemoryPage& Page() = 0;
  // For scrapes, which come round the clock: null when a page would cost more than a scrape may.
  [[nodiscard]] virtual const MemoryPage* PageForScrape() = 0;
  // Of the allocator that serves malloc. `force`: also where the service may be stalled by it.
  [[nodiscard]] virtual MemoryRelease Release(bool force) = 0;
  // A sentence for each allocator of the process.
  [[nodiscard]] virtual std::vector<std::string> Allocators() = 0;
  // What of them is not seen, and why.
  [[nodiscard]] virtual std::vector<std::string> NotCovered() = 0;
};

}  // namespace sonde
