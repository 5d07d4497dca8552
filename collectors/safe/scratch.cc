// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/scratch.h"

namespace sonde {

// Async-signal-safe. Acquire is the partner of the release in Release: the next user sees the
// buffer as it was left.
uint64_t* ScratchPool::Claim() {
  uint64_t taken = taken_.load(std::memory_order_relaxed);
  while (~taken != 0) {
    const int lowest = __builtin_ctzll(~taken);
    if (taken_.compare_exchange_weak(taken, taken | uint64_t{1} << lowest,
                                     std::memory_order_acquire, std::memory_order_relaxed)) {
      return buffers_[lowest];
    }
  }
  return nullptr;
}

// Async-signal-safe.
void ScratchPool::Release(uint64_t* buffer) {
  const auto index = static_cast<uint64_t>(buffer - buffers_[0]) / kMaxDepth;
  taken_.fetch_and(~(uint64_t{1} << index), std::memory_order_release);
}

}  // namespace sonde
