// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/thread_totals.h"

#include <algorithm>
#include <utility>

namespace sonde {

void ThreadTotals::Update(const std::vector<ThreadCpu>& threads) {
  const Gains gains = GainsSinceLastTime(threads);
  GiveSeries(gains, threads);
  for (const auto& [name, gain] : gains) {
    const auto own = seconds_.find(name);
    if (own != seconds_.end()) {
      own->second += gain;
    } else if (gain > 0) {
      seconds_[kOther] += gain;
    }
  }
}

ThreadTotals::Gains ThreadTotals::GainsSinceLastTime(const std::vector<ThreadCpu>& threads) {
  Gains gains;
  std::map<int, Seen> now;
  for (const ThreadCpu& thread : threads) {
    const auto before = threads_.find(thread.tid);
    double known = before == threads_.end() ? 0 : before->second.cpu_seconds;
    if (thread.cpu_seconds < known) known = 0;  // the kernel gave the tid to a new thread
    gains[thread.name] += thread.cpu_seconds - known;
    now[thread.tid] = {thread.cpu_seconds, thread.name};
  }
  threads_ = std::move(now);
  return gains;
}

// Names that used most since the last time come first.
void ThreadTotals::GiveSeries(const Gains& gains, const std::vector<ThreadCpu>& threads) {
  std::vector<std::pair<double, std::string>> wanting;
  for (const auto& [name, gain] : gains) {
    if (!seconds_.contains(name) && name != kOther) wanting.emplace_back(-gain, name);
  }
  std::sort(wanting.begin(), wanting.end());
  for (const auto& [negative_gain, name] : wanting) {
    const size_t own = seconds_.size() - seconds_.count(kOther);
    if (own >= kMaxNames && !FreeOneSeries(threads)) return;
    seconds_[name] = 0;
  }
}

// A series whose threads have all ended may end too.
bool ThreadTotals::FreeOneSeries(const std::vector<ThreadCpu>& threads) {
  for (auto it = seconds_.begin(); it != seconds_.end(); ++it) {
    const bool is_live = std::any_of(threads.begin(), threads.end(),
                                     [&](const ThreadCpu& t) { return t.name == it->first; });
    if (is_live || it->first == kOther) continue;
    seconds_.erase(it);
    return true;
  }
  return false;
}

}  // namespace sonde
