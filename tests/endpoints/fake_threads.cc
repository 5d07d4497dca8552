// SPDX-License-Identifier: Apache-2.0
#include "tests/endpoints/fake_threads.h"

#include <unistd.h>

#include <utility>
#include <vector>

#include "collectors/safe/region_file.h"

namespace sonde::testing {

std::unique_ptr<ThreadDump> FakeThreads::OpenThreadDump(int pid, std::string* error) {
  if (pid != 0 && pid != getpid()) {
    *error = "pid " + std::to_string(pid) + " is no process of this agent's tree, or has ended";
    return nullptr;
  }
  tables_.Refresh();
  std::vector<CodeOfImage> code;
  for (const UnwindModuleStatus& module : tables_.Status().modules) {
    code.push_back({module.text_low, module.text_high, module.image});
  }
  starts_.SetCode(std::move(code));
  ThreadDumpSetup setup = setup_;
  setup.memory = &memory_;
  setup.tables = &publication_;
  setup.starts = &starts_;
  return std::make_unique<ThreadDump>(setup, MonotonicNs());
}

}  // namespace sonde::testing
