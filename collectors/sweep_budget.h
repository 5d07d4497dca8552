// SPDX-License-Identifier: Apache-2.0
// How soon the agent's thread may look at the threads again: 1/kShare of a core is what it may use,
// and what it did not use is saved up. So the first sight of three thousand threads, whose names
// cost 25 ms, does not make it look away for five seconds while some of them begin to work.
// Pure; agent thread only. No memory of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace sonde {

class SweepBudget {
 public:
  static constexpr int64_t kShare = 200;
  static constexpr int64_t kMostSavedNs = 50'000'000;  // of 10 s

  // How long to wait after a sweep that used took_ns of CPU time; 0: nothing is owed.
  uint64_t PauseNs(uint64_t now_ns, uint64_t took_ns) {
    const auto passed_ns = static_cast<int64_t>(now_ns - std::exchange(last_ns_, now_ns));
    saved_ns_ = std::min(saved_ns_ + passed_ns / kShare, kMostSavedNs);
    saved_ns_ -= static_cast<int64_t>(took_ns);
    return saved_ns_ < 0 ? static_cast<uint64_t>(-saved_ns_ * kShare) : 0;
  }

 private:
  int64_t saved_ns_ = kMostSavedNs;
  uint64_t last_ns_ = 0;
};

}  // namespace sonde
