// SPDX-License-Identifier: Apache-2.0
// Whose stack is taken, of those who make threads. A stack costs 1.5 us and more, which is nothing
// beside a thread that works and a tenth of one that does nothing. So where more than
// kNotedPerSecond are made one in 2^k is noted, drawn by chance, and stands for 2^k: counts are
// right on average, and the cost is bounded. Called by the hooks; any thread; lock-free. Constant-
// initialised; no memory of its own.
#pragma once

#include <stdint.h>

#include <atomic>

namespace sonde {

class CreatorDraw {
 public:
  static constexpr uint64_t kNotedPerSecond = 500;
  static constexpr uint64_t kWindowNs = 100'000'000;
  static constexpr uint32_t kMaxLog2 = 15;

  // Malloc-safe: may not allocate or block. A thread is about to be made: 0, it is left out; else
  // for how many it stands, a power of two. What was made in the window before decides, so the
  // first ones of a burst are all noted.
  uint32_t Draw(uint64_t now_ns);

 private:
  void Roll(uint64_t windows);

  std::atomic<uint64_t> window_{0};
  std::atomic<uint32_t> made_{0};  // in the window
  std::atomic<uint32_t> log2_{0};
};

}  // namespace sonde
