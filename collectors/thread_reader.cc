// SPDX-License-Identifier: Apache-2.0
#include "collectors/thread_reader.h"

#include <errno.h>

#include "collectors/host_threads.h"
#include "collectors/safe/region_layout.h"

namespace sonde {
namespace {

constexpr int kAttempts = 3;

std::string WhyDenied(int error) {
  if (error == EACCES || error == EPERM) {
    return "no stack: the kernel denies /proc/PID/task/TID/syscall, because the process gave up "
           "its privileges (is undumpable), or a security module objects";
  }
  return "/proc/self/task/TID/syscall cannot be read: errno " + std::to_string(error);
}

}  // namespace

bool Waits(const WhereItWaits& where) {
  return where.kind == WhereItWaits::Kind::kSystemCall ||
         where.kind == WhereItWaits::Kind::kElsewhere;
}

void ThreadReader::Walk(ThreadRecord* thread) {
  constexpr int kMaxBuilds = 32;  // each walk asks for one table at most
  uint64_t frames[kMaxDepth];
  OutsideWalk walk;
  for (int i = 0; i < kMaxBuilds; ++i) {
    {
      const UnwindPublication::Reader reader(*tables_);
      walk = walker_.Walk(reader.index(), thread->where.pc, thread->where.sp,
                          thread->where.arguments[0], frames, kMaxDepth);
    }
    if (walk.not_built == 0 || !build_ || !build_(walk.not_built)) break;
  }
  thread->frames.assign(frames, frames + walk.depth);
  thread->end = walk.end;
  thread->inferred_from = walk.inferred_from;
  thread->source = StackSource::kOutside;
}

// A thread whose CPU clock stood still did not run, so its stack is the one of the place where it
// waits. The second look is for clocks that are coarse.
bool ThreadReader::ReadOnce(const TaskFiles::Watch& watch, ThreadRecord* thread) {
  uint64_t before_ns = 0;
  uint64_t after_ns = 0;
  const bool clock = CpuTime(thread->tid, &before_ns);
  thread->where = watch.Look();
  if (!clock && pid_ == 0) thread->where = {};
  if (!Waits(thread->where)) return true;
  Walk(thread);
  return CpuTime(thread->tid, &after_ns) == clock && before_ns == after_ns &&
         watch.Look() == thread->where;
}

bool ThreadReader::CpuTime(int tid, uint64_t* ns) const {
  return pid_ == 0 ? ThreadCpuTime(tid, ns) : files_.CpuTime(tid, ns);
}

bool ThreadReader::ReadWaiting(ThreadRecord* thread) {
  const TaskFiles::Watch watch(files_, thread->tid);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (!ReadOnce(watch, thread)) continue;
    thread->problem.clear();
    thread->channel.clear();
    if (thread->where.kind == WhereItWaits::Kind::kDenied) {
      thread->problem = WhyDenied(thread->where.error);
      thread->channel = files_.WaitChannel(thread->tid);
      return false;
    }
    return thread->where.kind != WhereItWaits::Kind::kRunning;
  }
  thread->problem = "it moved while its stack was read";
  return false;
}

}  // namespace sonde
