// SPDX-License-Identifier: Apache-2.0
// Looks at one waiting thread from outside: where it waits and its stack, and makes sure that it
// did not move meanwhile. Disturbs nobody. Agent thread only. Memory: that of stack_from_outside.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "collectors/process_memory.h"
#include "collectors/safe/unwind_index.h"
#include "collectors/stack_from_outside.h"
#include "collectors/task_files.h"

namespace sonde {

enum class StackSource : uint8_t {
  kNone,
  kOutside,     // it waited, and its stack was read
  kTimer,       // it ran, and answered
  kLastSample,  // not to be had now: where it last burnt CPU
};

struct ThreadRecord {
  int tid = 0;
  std::string name;
  char state = 0;  // as /proc has it: R S D T t Z; 0: unknown
  WhereItWaits where;
  uint64_t cpu_ns = 0;
  uint64_t start_ticks = 0;
  int64_t waits_ns = -1;  // since it last ran, to about half a second; -1: unknown
  StackSource source = StackSource::kNone;
  StackEnd end = StackEnd::kNoUnwindData;
  uint32_t inferred_from = kNothingInferred;
  std::vector<uint64_t> frames;  // frames[0] is a pc, the others are return addresses
  std::string problem;           // why the stack is missing or doubtful; empty: it is not
  // Where in the kernel it waits, as the kernel calls it; only where no more is to be had.
  std::string channel;
};

class ThreadReader {
 public:
  // Builds the table of the code at `pc`, which a walk needed; false: there is none to be had.
  using Build = std::function<bool(uint64_t pc)>;

  // All outlive it. `build` may be empty. `pid`: whose threads, 0: this process's.
  ThreadReader(const ProcessMemory& memory, UnwindPublication* tables, FunctionStarts* starts,
               Build build, int pid = 0)
      : pid_(pid),
        files_(pid),
        tables_(tables),
        build_(std::move(build)),
        walker_(memory, starts) {}

  // Fills in where, stack and problem of thread->tid. False: it runs, it moved each time, or the
  // kernel does not tell. True with where.kind kGone: it has ended.
  bool ReadWaiting(ThreadRecord* thread);

  // CPU time that a thread has used; false: it has ended, or the kernel does not tell.
  bool CpuTime(int tid, uint64_t* ns) const;

  [[nodiscard]] const TaskFiles& files() const { return files_; }

 private:
  bool ReadOnce(const TaskFiles::Watch& watch, ThreadRecord* thread);
  void Walk(ThreadRecord* thread);

  const int pid_;
  TaskFiles files_;
  UnwindPublication* tables_;
  const Build build_;
  OutsideWalker walker_;
};

// In the kernel, and not ready to run.
bool Waits(const WhereItWaits& where);

}  // namespace sonde
