// SPDX-License-Identifier: Apache-2.0
// The agent watches its own cost (P4): CPU of its thread and, estimated, of its signal handlers;
// when the average of a window is above the limit, the sampling rate is halved, and doubled again
// when there is room. Agent thread only.
#pragma once

#include <cstdint>

namespace sonde::life {

class GuardRails {
 public:
  static constexpr uint64_t kWindowNs = 10'000'000'000;
  static constexpr uint64_t kHandlerNs =
      4'000;  // an upper estimate: signal, walk of 40 frames, count
  static constexpr int kMaxDivisor = 128;

  explicit GuardRails(int agent_tid) : agent_tid_(agent_tid) {}

  // True when the divisor has changed. `samples`: taken since start.
  bool Tick(uint64_t now_ns, uint64_t samples, int limit_percent);

  [[nodiscard]] int divisor() const { return divisor_; }
  [[nodiscard]] double cpu_seconds(uint64_t samples) const;

 private:
  [[nodiscard]] uint64_t OwnCpuNs(uint64_t samples) const;

  int agent_tid_;
  int divisor_ = 1;
  uint64_t window_start_ns_ = 0;
  uint64_t window_cpu_ns_ = 0;
};

}  // namespace sonde::life
