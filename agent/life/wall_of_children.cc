// SPDX-License-Identifier: Apache-2.0
#include "agent/life/wall_of_children.h"

#include <algorithm>

#include "agent/life/child_threads.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/host_threads.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {

void WallOfChildren::LookAt(int pid, Child* child, uint64_t now_ns) {
  uint64_t cpu_ns = 0;
  if (!ProcessCpuTime(pid, &cpu_ns)) return;
  if (cpu_ns == child->cpu_ns && child->wall.StandStill(now_ns)) return;
  child->cpu_ns = cpu_ns;
  ThreadHistory history;
  ChildThreads threads(cpu_, pid, &history);
  child->refused = !threads.ok() && !threads.is_zombie();
  if (!threads.ok()) return;
  threads.KnowCode();
  ThreadReader reader = threads.Reader();
  child->wall.Observe(now_ns, &reader);
}

void WallOfChildren::Observe(uint64_t now_ns) {
  const Region& region = TreeRegion();
  ++round_;
  too_many_ = 0;
  for (uint32_t slot = 0; slot < UsedProcessSlots(region); ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.state != SlotState::kLive || process.pid == g_self.pid) continue;
    const Key key{process.pid, process.start_ticks};
    auto known = children_.find(key);
    if (known == children_.end()) {
      if (children_.size() >= kMaxChildren) {
        ++too_many_;
        continue;
      }
      known = children_.try_emplace(key, period_ns_).first;
    }
    known->second.round = round_;
    LookAt(process.pid, &known->second, now_ns);
  }
}

void WallOfChildren::Finish() {
  for (auto& [key, child] : children_) child.wall.Finish();
}

void WallOfChildren::ForEach(const Visitor& visit) {
  for (auto& [key, child] : children_) visit(key.first, &child.wall);
}

void WallOfChildren::ForgetEnded() {
  std::erase_if(children_, [this](const auto& item) { return item.second.round != round_; });
}

std::vector<std::string> WallOfChildren::NotLookedAt() const {
  std::vector<std::string> sentences;
  const auto refused =
      std::ranges::count_if(children_, [](const auto& item) { return item.second.refused; });
  if (refused > 0) {
    sentences.push_back(
        "not looked at: " + std::to_string(refused) +
        " child processes that the kernel does not let this process read (another user, or gave up "
        "their privileges)");
  }
  if (too_many_ > 0) {
    sentences.push_back("not looked at: " + std::to_string(too_many_) +
                        " child processes, beyond the first " + std::to_string(kMaxChildren));
  }
  return sentences;
}

}  // namespace sonde::life
