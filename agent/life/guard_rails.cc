// SPDX-License-Identifier: Apache-2.0
#include "agent/life/guard_rails.h"

#include <algorithm>

#include "collectors/host_threads.h"

namespace sonde::life {

uint64_t GuardRails::OwnCpuNs(uint64_t samples) const {
  uint64_t thread_ns = 0;
  ThreadCpuTime(agent_tid_, &thread_ns);
  return thread_ns + samples * kHandlerNs;
}

double GuardRails::cpu_seconds(uint64_t samples) const {
  return static_cast<double>(OwnCpuNs(samples)) / 1e9;
}

bool GuardRails::Tick(uint64_t now_ns, uint64_t samples, int limit_percent) {
  if (window_start_ns_ == 0) {
    window_start_ns_ = now_ns;
    window_cpu_ns_ = OwnCpuNs(samples);
    return false;
  }
  const uint64_t elapsed_ns = now_ns - window_start_ns_;
  if (elapsed_ns < kWindowNs) return false;
  const uint64_t used_ns = OwnCpuNs(samples) - window_cpu_ns_;
  window_start_ns_ = now_ns;
  window_cpu_ns_ += used_ns;
  const uint64_t limit_ns = elapsed_ns / 100 * static_cast<uint64_t>(limit_percent);
  const int before = divisor_;
  if (used_ns > limit_ns) {
    divisor_ = std::min(divisor_ * 2, kMaxDivisor);
  } else if (used_ns < limit_ns / 4) {
    divisor_ = std::max(divisor_ / 2, 1);
  }
  return divisor_ != before;
}

}  // namespace sonde::life
