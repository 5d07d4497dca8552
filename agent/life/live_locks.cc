// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_locks.h"

#include <sys/syscall.h>

#include <algorithm>

#include "agent/life/waiting_functions.h"

namespace sonde::life {
namespace {

constexpr uint64_t kIdleNs = 2'000'000'000;
constexpr int kMaxLooks = 100;  // at a time: 2 to 3 ms

bool IsFileLock(const WhereItWaits& where) {
  constexpr uint64_t kSetLockWait = 7;       // F_SETLKW
  constexpr uint64_t kOpenSetLockWait = 38;  // F_OFD_SETLKW
  if (where.number == SYS_flock) return true;
  return where.number == SYS_fcntl &&
         (where.arguments[1] == kSetLockWait || where.arguments[1] == kOpenSetLockWait);
}

}  // namespace

LockWait LiveLocks::Decode(ProcessThreads* process, const ThreadRecord& record) {
  return DecodeLockWait(process->memory(), record.where, WaitingFunctionsOf(process, record),
                        [&](int tid) { return process->threads().contains(tid); });
}

void LiveLocks::Classify(ProcessThreads* process, IdleThread* idle) {
  const ThreadRecord& record = idle->record;
  idle->lock = Decode(process, record);
  const bool lock =
      idle->lock.kind == LockKind::kMutex || idle->lock.kind == LockKind::kReadWriteLock;
  idle->wait = WaitClass::kForWork;
  if (record.state == 'D') idle->wait = WaitClass::kUninterruptible;
  if (lock || IsFileLock(record.where)) idle->wait = WaitClass::kLock;
  if (record.where.kind == WhereItWaits::Kind::kRunning) idle->wait = WaitClass::kForCpu;
}

void LiveLocks::LookAt(ProcessThreads* process, int tid, const HostThread& thread,
                       ThreadReader* reader) {
  IdleThread idle;
  idle.tid = tid;
  idle.name = thread.name;
  idle.cpu_ns = thread.cpu_ns;
  idle.record.tid = tid;
  const bool waits = reader->ReadWaiting(&idle.record);
  const bool runs = idle.record.where.kind == WhereItWaits::Kind::kRunning;
  if (!waits && !runs) return;
  idle.record.state = reader->files().Stat(tid).state;
  Classify(process, &idle);
  if (idle.wait == WaitClass::kForWork) idle.record.frames = {};
  idle_[tid] = std::move(idle);
}

void LiveLocks::Look(ProcessThreads* process, uint64_t now_ns) {
  const auto& threads = process->threads();
  std::erase_if(idle_, [&](const auto& item) {
    const auto known = threads.find(item.first);
    return known == threads.end() || known->second.cpu_ns != item.second.cpu_ns;
  });
  for (auto& [tid, idle] : idle_) idle.name = threads.at(tid).name;  // may have been read again
  process->KnowCode();
  ThreadReader reader = process->Reader();
  int looks = 0;
  settled_ = true;
  for (const auto& [tid, thread] : threads) {
    const uint64_t waits_ns = now_ns > thread.last_busy_ns ? now_ns - thread.last_busy_ns : 0;
    if (waits_ns < kIdleNs) {
      settled_ = false;
      continue;
    }
    if (!idle_.contains(tid)) {
      if (looks++ < kMaxLooks) {
        LookAt(process, tid, thread, &reader);
      } else {
        settled_ = false;
      }
    }
    if (const auto idle = idle_.find(tid); idle != idle_.end()) idle->second.waits_ns = waits_ns;
  }
  // What waits for a lock is read anew each time.
  settled_ = settled_ && Suspects().empty();
}

std::vector<const IdleThread*> LiveLocks::Suspects() const {
  std::vector<const IdleThread*> suspects;
  for (const auto& [tid, idle] : idle_) {
    if (idle.wait != WaitClass::kForWork) suspects.push_back(&idle);
  }
  return suspects;
}

// The owner is in the lock now; who waits for it has not run since it was looked at, or the sweep
// will tell.
std::vector<LockEdge> LiveLocks::Edges(ProcessThreads* process) const {
  std::vector<LockEdge> edges;
  for (const auto& [tid, idle] : idle_) {
    if (idle.wait != WaitClass::kLock || idle.lock.timed || idle.lock.kind == LockKind::kNone)
      continue;
    uint64_t cpu_ns = 0;
    if (!process->CpuTime(tid, &cpu_ns) || cpu_ns != idle.cpu_ns) continue;
    const LockWait lock = Decode(process, idle.record);
    if (lock.owner != 0) edges.push_back({tid, lock.owner, lock.object, cpu_ns});
  }
  return edges;
}

const IdleThread* LiveLocks::Find(int tid) const {
  const auto known = idle_.find(tid);
  return known != idle_.end() ? &known->second : nullptr;
}

}  // namespace sonde::life
