// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_threads.h"

#include "agent/life/child_threads.h"
#include "agent/life/host_signal.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {
namespace {

bool IsOfTree(int pid) {
  const Region& region = TreeRegion();
  for (uint32_t slot = 0; slot < UsedProcessSlots(region); ++slot) {
    const ProcessInfo process = ReadProcess(region, slot);
    if (process.pid == pid && process.state == SlotState::kLive) return true;
  }
  return false;
}

// What a dump of a child stands on, for as long as the dump lives.
struct ChildDump {
  ChildDump(CpuCollector* cpu, int pid) : threads(cpu, pid, &history) {}
  ThreadHistory history;
  ChildThreads threads;
};

}  // namespace

ThreadReader LiveThreads::Reader() {
  return {memory_, &CpuUnwindTables(), &starts_,
          [this](uint64_t pc) { return cpu_->unwind().BuildAt(pc); }};
}

ThreadDumpSetup LiveThreads::SetupFor(int pid) const {
  ThreadDumpSetup setup;
  setup.tables = &cpu_->unwind().PublicationFor(pid);
  setup.build = [this, pid](uint64_t pc) { return cpu_->unwind().BuildFor(pid, pc); };
  if (last_sample_) setup.last_sample = [this, pid](int tid) { return last_sample_(pid, tid); };
  return setup;
}

std::unique_ptr<ThreadDump> LiveThreads::OpenDumpOfChild(int pid, std::string* error) {
  if (!IsOfTree(pid)) {
    *error = "pid " + std::to_string(pid) + " is no process of this agent's tree, or has ended";
    return nullptr;
  }
  const auto child = std::make_shared<ChildDump>(cpu_, pid);
  if (!child->threads.ok()) {
    *error = "the kernel does not let this process read pid " + std::to_string(pid) +
             ": it has ended, belongs to another user, or gave up its privileges";
    return nullptr;
  }
  child->threads.KnowCode();
  ThreadDumpSetup setup = SetupFor(pid);
  setup.pid = pid;
  setup.memory = &child->threads.memory();
  setup.starts = child->threads.starts();
  setup.keep = child;
  return std::make_unique<ThreadDump>(setup, MonotonicNs());
}

std::unique_ptr<ThreadDump> LiveThreads::OpenThreadDump(int pid, std::string* error) {
  if (pid != 0 && pid != g_self.pid) return OpenDumpOfChild(pid, error);
  KnowCode();
  ThreadDumpSetup setup = SetupFor(g_self.pid);
  setup.memory = &memory_;
  setup.starts = &starts_;
  setup.threads = &cpu_->sweep().threads();
  setup.skip_tid = agent_tid_;
  setup.signal = g_our_signal.load(std::memory_order_acquire);
  return std::make_unique<ThreadDump>(setup, MonotonicNs());
}

}  // namespace sonde::life
