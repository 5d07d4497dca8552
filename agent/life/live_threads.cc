// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_threads.h"

#include <utility>
#include <vector>

#include "agent/life/host_signal.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"

namespace sonde::life {

void LiveThreads::KnowCode() {
  std::vector<CodeOfImage> code;
  for (const UnwindModuleStatus& module : cpu_->unwind().Status().modules) {
    code.push_back({module.text_low, module.text_high, module.image});
  }
  starts_.SetCode(std::move(code));
}

ThreadReader LiveThreads::Reader() {
  return {memory_, &CpuUnwindTables(), &starts_,
          [this](uint64_t pc) { return cpu_->unwind().BuildAt(pc); }};
}

std::unique_ptr<ThreadDump> LiveThreads::OpenThreadDump() {
  KnowCode();
  ThreadDumpSetup setup;
  setup.memory = &memory_;
  setup.tables = &CpuUnwindTables();
  setup.build = [this](uint64_t pc) { return cpu_->unwind().BuildAt(pc); };
  setup.starts = &starts_;
  setup.threads = &cpu_->sweep().threads();
  setup.skip_tid = agent_tid_;
  setup.last_sample = last_sample_;
  setup.signal = g_our_signal.load(std::memory_order_acquire);
  return std::make_unique<ThreadDump>(setup, MonotonicNs());
}

}  // namespace sonde::life
