// SPDX-License-Identifier: Apache-2.0
#include "agent/life/thread_uses.h"

#include <algorithm>

#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/host_threads.h"
#include "collectors/safe/thread_table.h"
#include "collectors/task_files.h"

namespace sonde::life {
namespace {

// Longer than the detector needs to see that a thread has cooled down.
constexpr uint64_t kDetailNs = HotThreads::kCoolNs * 3;

}  // namespace

void ThreadUses::AddOwn(std::vector<ThreadUse>* out) const {
  for (const auto& [tid, thread] : cpu_->sweep().threads().threads()) {
    out->push_back({{g_self.pid, tid, 0}, thread.name, thread.last_seen_ns, thread.cpu_ns});
  }
}

void ThreadUses::AddTasks(int pid, uint64_t born, uint64_t now_ns, std::vector<ThreadUse>* out) {
  const TaskFiles files(pid);
  std::vector<int> tids = files.Tids();
  if (tids.size() > kMaxTasks) tids.resize(kMaxTasks);
  for (const int tid : tids) {
    ThreadUse use{{pid, tid, born}, files.Stat(tid).name, now_ns, 0};
    if (files.CpuTime(tid, &use.cpu_ns)) out->push_back(std::move(use));
  }
}

void ThreadUses::AddChild(int pid, uint64_t born, double busy_share, uint64_t now_ns,
                          std::vector<ThreadUse>* out) {
  uint64_t cpu_ns = 0;
  if (!ProcessCpuTime(pid, &cpu_ns)) return;
  Child& child = children_[pid];
  const bool comparable = child.at_ns != 0 && cpu_ns >= child.cpu_ns && now_ns > child.at_ns;
  if (comparable && static_cast<double>(cpu_ns - child.cpu_ns) >=
                        busy_share * static_cast<double>(now_ns - child.at_ns)) {
    child.detail_until_ns = now_ns + kDetailNs;
  }
  child.cpu_ns = cpu_ns;
  child.at_ns = now_ns;
  if (now_ns < child.detail_until_ns) AddTasks(pid, born, now_ns, out);
}

std::vector<ThreadUse> ThreadUses::Read(uint64_t now_ns, double busy_share) {
  std::vector<ThreadUse> uses;
  AddOwn(&uses);
  const Region& region = TreeRegion();
  const uint32_t slots = std::min<uint32_t>(UsedProcessSlots(region), kMaxChildren);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.state != SlotState::kLive || process.pid == g_self.pid) continue;
    AddChild(process.pid, process.start_ticks, busy_share, now_ns, &uses);
  }
  std::erase_if(children_, [&](const auto& item) { return item.second.at_ns != now_ns; });
  return uses;
}

}  // namespace sonde::life
