// SPDX-License-Identifier: Apache-2.0
// Looks after the forked children whose samples this agent reads: notices their end, takes back
// what they held, and refreshes their names (a worker renames itself after the fork). Agent thread
// only.
#pragma once

#include <cstdint>

namespace sonde::life {

class TreeKeeper {
 public:
  static constexpr uint64_t kIntervalNs = 1'000'000'000;
  static constexpr uint64_t kNamesNs = 10'000'000'000;

  void Tick(uint64_t now_ns);

 private:
  uint64_t next_ns_ = 0;
  uint64_t next_names_ns_ = 0;
};

}  // namespace sonde::life
