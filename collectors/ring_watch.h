// SPDX-License-Identifier: Apache-2.0
// Looks whether this process has an io_uring, in /proc/self/maps: where its queues are mapped.
// Rings in memory of the host's own (IORING_SETUP_NO_MMAP) do not show there, nor does one for up
// to kMostIntervalNs, or longer where the list is so long that looking costs more than 1/kShare of
// a core; the signal handler sees those too late by one wait (collectors/safe/rings.h). What is
// found holds for good, so nobody looks any more. Agent thread only. Memory: one descriptor.
#pragma once

#include <cstdint>
#include <string_view>

namespace sonde {

class RingWatch {
 public:
  static constexpr uint64_t kLeastIntervalNs = 500'000'000;
  static constexpr uint64_t kMostIntervalNs = 5'000'000'000;
  static constexpr uint64_t kShare = 5000;

  explicit RingWatch(int agent_tid);
  ~RingWatch();
  RingWatch(const RingWatch&) = delete;
  RingWatch& operator=(const RingWatch&) = delete;

  // Reads the list when that is due, and says NoteRing.
  void Tick(uint64_t now_ns);

 private:
  [[nodiscard]] bool MapsShowRing() const;

  long maps_fd_;
  int agent_tid_;
  uint64_t interval_ns_ = kLeastIntervalNs;
  uint64_t next_ns_ = 0;
};

// Whether a line of such a list is a ring's.
bool IsMappingOfRing(std::string_view line);

}  // namespace sonde
