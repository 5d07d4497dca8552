// SPDX-License-Identifier: Apache-2.0
#include "agent/life/child_watch.h"

#include <algorithm>

#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/host_threads.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {

void ChildWatch::FindChildren(uint64_t now_ns) {
  const Region& region = TreeRegion();
  for (uint32_t slot = 0; slot < UsedProcessSlots(region); ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.state != SlotState::kLive || process.pid == g_self.pid) continue;
    if (children_.size() >= kMaxChildren && !children_.contains(process.pid)) continue;
    Child& child = children_[process.pid];
    if (child.locks == nullptr || child.born != process.start_ticks) {
      if (child.locks != nullptr) child.locks->End(now_ns);
      child = Child();
      child.born = process.start_ticks;
      child.locks = std::make_unique<LockWatch>(process.pid, true, store_);
    }
    child.seen_ns = now_ns;
  }
  std::erase_if(children_, [&](const auto& item) {
    if (item.second.seen_ns == now_ns) return false;
    item.second.locks->End(now_ns);
    return true;
  });
}

bool ChildWatch::LookAt(int pid, Child* child, uint64_t stuck_after_ns, uint64_t now_ns) {
  uint64_t cpu_ns = 0;
  if (!ProcessCpuTime(pid, &cpu_ns)) return false;
  if (cpu_ns == child->cpu_ns && child->locks->locks().is_settled()) return false;
  child->cpu_ns = cpu_ns;
  ChildThreads threads(cpu_, pid, &child->history);
  child->refused = !threads.ok() && !threads.is_zombie();
  if (!threads.ok()) {
    child->locks->End(now_ns);
    return true;
  }
  threads.Refresh(now_ns);
  child->locks->Look(&threads, stuck_after_ns, now_ns);
  return true;
}

void ChildWatch::Look(uint64_t stuck_after_ns, uint64_t now_ns) {
  FindChildren(now_ns);
  int looks = 0;
  auto at = children_.lower_bound(next_pid_);
  for (size_t i = 0; i < children_.size() && looks < kMaxLooks; ++i) {
    if (at == children_.end()) at = children_.begin();
    if (LookAt(at->first, &at->second, stuck_after_ns, now_ns)) ++looks;
    ++at;
  }
  next_pid_ = at == children_.end() ? 0 : at->first;
  refused_ = static_cast<size_t>(std::count_if(
      children_.begin(), children_.end(), [](const auto& item) { return item.second.refused; }));
}

}  // namespace sonde::life
