// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/deadlock.h"

#include <algorithm>

namespace sonde {
namespace {

using Waits = std::map<int, LockEdge>;

// The cycle that `start` is in and has the lowest tid of; empty: there is none.
std::vector<LockEdge> CycleFrom(const Waits& waits, int start) {
  std::vector<LockEdge> cycle;
  for (int at = start; cycle.size() <= Deadlocks::kLongest;) {
    const auto wait = waits.find(at);
    if (wait == waits.end() || at < start) return {};
    cycle.push_back(wait->second);
    at = wait->second.owner;
    if (at == start) return cycle;
  }
  return {};
}

}  // namespace

std::vector<std::vector<LockEdge>> FindCycles(std::span<const LockEdge> waits) {
  Waits by_waiter;
  for (const LockEdge& wait : waits) by_waiter[wait.waiter] = wait;
  std::vector<std::vector<LockEdge>> cycles;
  for (const auto& [waiter, wait] : by_waiter) {
    std::vector<LockEdge> cycle = CycleFrom(by_waiter, waiter);
    if (!cycle.empty()) cycles.push_back(std::move(cycle));
  }
  return cycles;
}

std::vector<std::vector<LockEdge>> Deadlocks::Observe(std::span<const LockEdge> waits) {
  std::vector<std::vector<LockEdge>> confirmed;
  for (std::vector<LockEdge>& cycle : FindCycles(waits)) {
    const bool same = std::all_of(cycle.begin(), cycle.end(), [&](const LockEdge& wait) {
      const auto before = before_.find(wait.waiter);
      return before != before_.end() && before->second == wait;
    });
    if (same) confirmed.push_back(std::move(cycle));
  }
  before_.clear();
  for (const LockEdge& wait : waits) before_[wait.waiter] = wait;
  return confirmed;
}

}  // namespace sonde
