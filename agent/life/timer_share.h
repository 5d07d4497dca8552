// SPDX-License-Identifier: Apache-2.0
// How many timers this tree may hold. RLIMIT_SIGPENDING is the limit of one process, but what
// counts against it are the timers and pending signals of all processes of the uid (traps 14), so
// an eighth of it is for all trees of the uid together: what others hold, ours or not, is taken
// off. Where they hold much a small share is left, as long as half of the limit is free. Agent
// thread only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sonde::life {

class TimerShare {
 public:
  static constexpr uint64_t kIntervalNs = 1'000'000'000;
  static constexpr uint64_t kOneIn = 8;
  static constexpr uint64_t kSmallShare = 16;

  // Of `limit`, when `used` are pending for the whole uid, of which `ours` are this tree's timers.
  static constexpr uint64_t Allowed(uint64_t limit, uint64_t used, uint64_t ours) {
    const uint64_t others = used - std::min(used, ours);
    const uint64_t share = limit / kOneIn;
    const uint64_t small = others < limit / 2 ? std::min(share, kSmallShare) : 0;
    return std::max(share - std::min(share, others), small);
  }

  // Reads the uid's count, at most once a second, and only when timers have been made or refused
  // since, or ten such intervals have gone by.
  void Tick(int64_t max_timers, uint64_t refused, uint64_t now_ns);

 private:
  [[nodiscard]] bool IsDue(uint64_t refused, uint64_t now_ns) const;

  uint64_t read_ns_ = 0;
  uint64_t refused_ = 0;
  uint32_t held_ = 0;
};

}  // namespace sonde::life
