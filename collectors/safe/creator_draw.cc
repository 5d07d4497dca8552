// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/creator_draw.h"

#include <algorithm>
#include <bit>

#include "collectors/safe/cpu_timers.h"

namespace sonde {

// Malloc-safe: may not allocate or block.
void CreatorDraw::Roll(uint64_t windows) {
  constexpr uint64_t kAllowed = kNotedPerSecond * kWindowNs / 1'000'000'000;
  const uint64_t made = made_.exchange(0, std::memory_order_relaxed);
  const uint64_t times = made == 0 ? 0 : (made - 1) / (kAllowed * windows);
  log2_.store(std::min(static_cast<uint32_t>(std::bit_width(times)), kMaxLog2),
              std::memory_order_relaxed);
}

// Malloc-safe: may not allocate or block. Of several threads that come first in a window one rolls;
// the others may still draw by the old share, which is as right.
uint32_t CreatorDraw::Draw(uint64_t now_ns) {
  const uint64_t window = now_ns / kWindowNs;
  uint64_t last = window_.load(std::memory_order_relaxed);
  if (window > last && window_.compare_exchange_strong(last, window, std::memory_order_relaxed)) {
    Roll(window - last);
  }
  made_.fetch_add(1, std::memory_order_relaxed);
  const uint32_t log2 = log2_.load(std::memory_order_relaxed);
  if (log2 == 0) return 1;
  const uint32_t one_in = uint32_t{1} << log2;
  return RandomPhase(one_in) == 1 ? one_in : 0;
}

}  // namespace sonde
