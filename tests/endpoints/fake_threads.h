// SPDX-License-Identifier: Apache-2.0
// The threads of the test's own process, looked at as the agent looks at its host's. Not
// thread-safe.
#pragma once

#include <memory>
#include <string>

#include "agent/endpoints/threads_source.h"
#include "collectors/function_starts.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/unwind_tables.h"

namespace sonde::testing {

class FakeThreads final : public ThreadsSource {
 public:
  FakeThreads() { tables_.Refresh(); }

  std::unique_ptr<ThreadDump> OpenThreadDump(int pid, std::string* error) override;
  ThreadReader Reader() { return {memory_, &publication_, &starts_, nullptr}; }

  // What OpenThreadDump starts from; may be changed before.
  ThreadDumpSetup& setup() { return setup_; }

 private:
  UnwindPublication publication_;
  UnwindTables tables_{publication_, kDefaultUnwindBudgetBytes};
  ProcessMemory memory_;
  FunctionStarts starts_{memory_};
  ThreadDumpSetup setup_;
};

}  // namespace sonde::testing
