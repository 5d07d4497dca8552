// SPDX-License-Identifier: Apache-2.0
// Where every thread of this process stands, without a signal to any thread that waits, without
// ptrace and without privileges.
//
// A thread that waits is read from outside (stack_from_outside.h), then looked at again: one that
// moved meanwhile is read anew. A thread that runs is asked by a one-shot timer on its own CPU
// clock (stack_request.h), which cannot interrupt a wait; it is given until a deadline, and looked
// at from outside whenever it is found waiting before that.
//
// Agent thread only. Making a ThreadDump reads all threads at once, about 15 µs each; Poll() then
// collects what running threads answer. Memory: 250 bytes and 8 a frame for each thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "collectors/host_threads.h"
#include "collectors/process_memory.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/thread_reader.h"

namespace sonde {

struct ThreadDumpSetup {
  const ProcessMemory* memory = nullptr;
  UnwindPublication* tables = nullptr;
  // Builds the table of the code at pc, for stacks that need it; false: there is none to be had.
  std::function<bool(uint64_t pc)> build;
  FunctionStarts* starts = nullptr;
  const HostThreads* threads = nullptr;  // for how long they have been waiting; may be null
  int pid = 0;                           // whose threads; 0: this process's
  int skip_tid = 0;                      // the agent's own thread
  int signal = 0;                        // that running threads may be asked by; 0: none
  uint64_t patience_ns = 250'000'000;    // for running threads
  // The newest CPU sample of a thread, or empty.
  std::function<std::vector<uint64_t>(int tid)> last_sample;
  // Keeps what the pointers point to, when nobody else does.
  std::shared_ptr<void> keep;
};

class ThreadDump {
 public:
  // Reads every thread that waits, asks those that run.
  ThreadDump(const ThreadDumpSetup& setup, uint64_t now_ns);
  // Takes back what was asked and not answered.
  ~ThreadDump();
  ThreadDump(const ThreadDump&) = delete;
  ThreadDump& operator=(const ThreadDump&) = delete;

  // True: finished. Call it every few milliseconds until then.
  bool Poll(uint64_t now_ns);

  // By tid. The directory of threads could not be read: empty.
  [[nodiscard]] const std::vector<ThreadRecord>& threads() const { return threads_; }
  [[nodiscard]] const TaskFiles& files() const { return reader_.files(); }
  [[nodiscard]] const ProcessMemory& memory() const { return *setup_.memory; }
  // As in the setup.
  [[nodiscard]] int pid() const { return setup_.pid; }
  [[nodiscard]] uint64_t agent_cpu_ns() const { return agent_cpu_ns_; }

 private:
  static constexpr int kNotAsked = -1;
  struct Pending {
    size_t thread;  // in threads_
    int request = kNotAsked;
    int refused = 0;  // an errno: it cannot be asked
  };

  void ReadAll(uint64_t now_ns);
  void AddTimes(uint64_t now_ns, ThreadRecord* thread) const;
  bool Collect(Pending* pending);
  void Ask(Pending* pending);
  void GiveUp(Pending* pending);

  const ThreadDumpSetup setup_;
  const uint64_t deadline_ns_;
  ThreadReader reader_;
  std::vector<ThreadRecord> threads_;
  std::vector<Pending> pending_;
  std::vector<int> abandoned_;  // requests that are being answered too late
  uint64_t agent_cpu_ns_ = 0;
};

}  // namespace sonde
