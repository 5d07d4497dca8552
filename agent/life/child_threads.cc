// SPDX-License-Identifier: Apache-2.0
#include "agent/life/child_threads.h"

#include <vector>

namespace sonde::life {

ChildThreads::ChildThreads(CpuCollector* cpu, int pid, ThreadHistory* history)
    : cpu_(cpu), pid_(pid), history_(history), memory_(pid), files_(pid) {}

void ChildThreads::Refresh(uint64_t now_ns) {
  std::vector<int> tids = files_.Tids();
  if (tids.size() > kMaxThreads) tids.resize(kMaxThreads);
  for (const int tid : tids) {
    uint64_t cpu_ns = 0;
    if (!files_.CpuTime(tid, &cpu_ns)) continue;
    const auto [place, is_new] = history_->try_emplace(tid);
    HostThread& thread = place->second;
    if (is_new || thread.cpu_ns != cpu_ns) {
      thread.last_busy_ns = now_ns;
      thread.name = files_.Stat(tid).name;
    }
    thread.cpu_ns = cpu_ns;
    thread.last_seen_ns = now_ns;
  }
  std::erase_if(*history_, [&](const auto& item) { return item.second.last_seen_ns != now_ns; });
}

void ChildThreads::KnowCode() { starts_.SetCode(cpu_->unwind().CodeFor(pid_)); }

ThreadReader ChildThreads::Reader() {
  return {memory_, &cpu_->unwind().PublicationFor(pid_), &starts_,
          [this](uint64_t pc) { return cpu_->unwind().BuildFor(pid_, pc); }, pid_};
}

}  // namespace sonde::life
