// SPDX-License-Identifier: Apache-2.0
#include "agent/life/open_waits_of_tree.h"

#include <sys/syscall.h>

#include <utility>

#include "agent/life/child_threads.h"
#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "agent/life/waiting_functions.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {
namespace {

// Of a wait that no hook measures: the thread has not run since. 0: it has, or is not known.
uint64_t LastRan(ProcessThreads* process, int tid) {
  const auto known = process->threads().find(tid);
  uint64_t cpu_ns = 0;
  if (known == process->threads().end() || !process->CpuTime(tid, &cpu_ns)) return 0;
  return cpu_ns == known->second.cpu_ns ? known->second.last_busy_ns : 0;
}

std::string Threads(size_t count) {
  return std::to_string(count) + (count == 1 ? " thread" : " threads");
}

std::string Children(size_t count) {
  return std::to_string(count) + (count == 1 ? " child process" : " child processes");
}

}  // namespace

bool OpenWaitsOfTree::ReadThread(ProcessThreads* process, ThreadReader* reader, int tid,
                                 WaiterOfTree* out) {
  ThreadRecord record;
  record.tid = tid;
  if (!reader->ReadWaiting(&record)) return false;
  auto wait = OpenWaitOf(process->memory(), record, WaitingFunctionsOf(process, record));
  if (!wait) return false;
  if (!wait->measured) wait->since_ns = LastRan(process, tid);
  out->tid = tid;
  out->wait = std::move(*wait);
  return out->wait.since_ns != 0;
}

void OpenWaitsOfTree::ReadProcess(int pid, ProcessThreads* process, uint64_t now_ns,
                                  const Visitor& visit) {
  process->KnowCode();
  ThreadReader reader = process->Reader();
  for (const int tid : reader.files().Tids()) {
    if (tid == agent_tid_) continue;
    if (looked_ >= kMaxThreads) {
      ++too_many_threads_;
      continue;
    }
    ++looked_;
    const WhereItWaits where = TaskFiles::Watch(reader.files(), tid).Look();
    if (where.kind == WhereItWaits::Kind::kDenied) ++denied_threads_;
    if (where.kind != WhereItWaits::Kind::kSystemCall || where.number != SYS_futex) continue;
    WaiterOfTree waiter;
    waiter.pid = pid;
    if (!ReadThread(process, &reader, tid, &waiter)) continue;
    if (waiter.wait.since_ns + kMinNs <= now_ns) visit(std::move(waiter));
  }
}

void OpenWaitsOfTree::ReadChildren(uint64_t now_ns, const Visitor& visit) {
  const Region& region = TreeRegion();
  size_t children = 0;
  for (uint32_t slot = 0; slot < UsedProcessSlots(region); ++slot) {
    const ProcessInfo process = sonde::ReadProcess(region, slot);
    if (process.state != SlotState::kLive || process.pid == g_self.pid) continue;
    if (++children > kMaxChildren) {
      ++too_many_children_;
      continue;
    }
    ThreadHistory history;
    ChildThreads threads(cpu_, process.pid, &history);
    if (!threads.ok() && !threads.is_zombie()) ++denied_children_;
    if (threads.ok()) ReadProcess(process.pid, &threads, now_ns, visit);
  }
}

void OpenWaitsOfTree::Read(uint64_t now_ns, const Visitor& visit) {
  looked_ = denied_threads_ = too_many_threads_ = denied_children_ = too_many_children_ = 0;
  ReadProcess(g_self.pid, threads_, now_ns, visit);
  ReadChildren(now_ns, visit);
}

std::vector<std::string> OpenWaitsOfTree::NotLookedAt() const {
  std::vector<std::string> sentences;
  const std::string begin = "waits that go on are not known of ";
  if (denied_threads_ > 0) {
    sentences.push_back(begin + Threads(denied_threads_) +
                        ": the kernel does not tell where they wait, because the process gave up "
                        "its privileges (is undumpable), or a security module objects");
  }
  if (denied_children_ > 0) {
    sentences.push_back(begin + Children(denied_children_) +
                        " that the kernel does not let this process read (another user, or gave up "
                        "their privileges)");
  }
  if (too_many_threads_ > 0) {
    sentences.push_back(begin + Threads(too_many_threads_) + ", beyond the first " +
                        std::to_string(kMaxThreads));
  }
  if (too_many_children_ > 0) {
    sentences.push_back(begin + Children(too_many_children_) + ", beyond the first " +
                        std::to_string(kMaxChildren));
  }
  return sentences;
}

}  // namespace sonde::life
