// SPDX-License-Identifier: Apache-2.0
#include "agent/life/timer_share.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "agent/life/small_reads.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_timers.h"

namespace sonde::life {
namespace {

constexpr uint64_t kPatience = 10;  // intervals without news

struct Pending {
  uint64_t used = 0;
  uint64_t limit = 0;
};

// "SigQ:	used/limit", decimal; the limit of a process without one is a number that large.
bool ReadPending(Pending* out) {
  const std::string status = ReadSmallFile("/proc/self/status");
  constexpr std::string_view kName = "\nSigQ:\t";
  const size_t at = status.find(kName);
  if (at == std::string::npos) return false;
  const char* end = status.data() + status.size();
  const auto used = std::from_chars(status.data() + at + kName.size(), end, out->used);
  if (used.ec != std::errc() || used.ptr == end || *used.ptr != '/') return false;
  return std::from_chars(used.ptr + 1, end, out->limit).ec == std::errc();
}

}  // namespace

bool TimerShare::IsDue(uint64_t refused, uint64_t now_ns) const {
  if (read_ns_ == 0) return true;
  const bool news = refused != refused_ || TreeTimers() != held_;
  return now_ns - read_ns_ >= (news ? kIntervalNs : kPatience * kIntervalNs);
}

void TimerShare::Tick(int64_t max_timers, uint64_t refused, uint64_t now_ns) {
  if (!IsDue(refused, now_ns)) return;
  read_ns_ = now_ns;
  refused_ = refused;
  held_ = TreeTimers();
  uint64_t allowed = kMaxTimers;
  if (Pending pending; ReadPending(&pending)) {
    allowed = Allowed(pending.limit, pending.used, held_);
  }
  SetTreeTimerLimit(static_cast<uint32_t>(
      std::min({allowed, uint64_t{kMaxTimers}, static_cast<uint64_t>(max_timers)})));
}

}  // namespace sonde::life
