// SPDX-License-Identifier: Apache-2.0
#include "collectors/thread_dump.h"

#include <errno.h>

#include <algorithm>

#include "collectors/safe/region_file.h"
#include "collectors/safe/stack_request.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint64_t kFirstExpiryNs = 1000;  // of the thread's CPU time; the kernel looks at its tick

std::string WhyNotAnswered(int refused, bool other_process) {
  if (other_process) return "it runs, in a child process: only one of our own can be asked";
  if (refused == EBUSY) return "it runs, and the sampling signal is off or not to be had";
  if (refused == EPERM) return "it runs, and its alternate signal stack is too small for a sample";
  if (refused != 0) return "it runs, and no timer was to be had for it";
  return "it runs, but did not answer in time: it waits for a CPU, or blocks the sampling signal";
}

class CpuMeter {
 public:
  explicit CpuMeter(uint64_t* sum) : sum_(sum) { ThreadCpuTime(sys::Gettid(), &begin_ns_); }
  ~CpuMeter() {
    uint64_t end_ns = begin_ns_;
    ThreadCpuTime(sys::Gettid(), &end_ns);
    *sum_ += end_ns - begin_ns_;
  }
  CpuMeter(const CpuMeter&) = delete;
  CpuMeter& operator=(const CpuMeter&) = delete;

 private:
  uint64_t* sum_;
  uint64_t begin_ns_ = 0;
};

}  // namespace

ThreadDump::ThreadDump(const ThreadDumpSetup& setup, uint64_t now_ns)
    : setup_(setup),
      deadline_ns_(now_ns + setup.patience_ns),
      reader_(*setup.memory, setup.tables, setup.starts, setup.build, setup.pid) {
  const CpuMeter meter(&agent_cpu_ns_);
  ReadAll(now_ns);
  for (Pending& pending : pending_) Ask(&pending);
}

ThreadDump::~ThreadDump() {
  for (const Pending& pending : pending_) {
    if (pending.request != kNotAsked) abandoned_.push_back(pending.request);
  }
  // A handler needs microseconds, unless its thread has to wait for a CPU: then its request stays
  // taken, which costs one of kMaxOneShots.
  for (const int request : abandoned_) {
    for (int i = 0; i < 100 && !TakeBackRequest(static_cast<uint32_t>(request)); ++i) {
      sys::Call(SYS_sched_yield);
    }
  }
}

void ThreadDump::ReadAll(uint64_t now_ns) {
  std::vector<int> tids = reader_.files().Tids();
  std::sort(tids.begin(), tids.end());
  threads_.reserve(tids.size());
  for (const int tid : tids) {
    if (tid == setup_.skip_tid) continue;
    ThreadRecord thread;
    thread.tid = tid;
    const bool read = reader_.ReadWaiting(&thread);
    const TaskStat stat = reader_.files().Stat(tid);
    if (thread.where.kind == WhereItWaits::Kind::kGone || stat.state == 0) continue;
    thread.name = stat.name;
    thread.state = thread.where.kind == WhereItWaits::Kind::kRunning ? 'R' : stat.state;
    thread.start_ticks = stat.start_ticks;
    AddTimes(now_ns, &thread);
    if (!read) pending_.push_back({threads_.size()});
    threads_.push_back(std::move(thread));
  }
}

void ThreadDump::AddTimes(uint64_t now_ns, ThreadRecord* thread) const {
  if (!reader_.CpuTime(thread->tid, &thread->cpu_ns)) thread->cpu_ns = 0;
  if (setup_.threads == nullptr) return;
  const auto known = setup_.threads->threads().find(thread->tid);
  if (known == setup_.threads->threads().end() || !Waits(thread->where)) return;
  const bool ran_since = known->second.cpu_ns != thread->cpu_ns;
  const uint64_t since_ns = ran_since ? known->second.last_seen_ns : known->second.last_busy_ns;
  thread->waits_ns = ran_since || since_ns > now_ns ? 0 : static_cast<int64_t>(now_ns - since_ns);
}

void ThreadDump::Ask(Pending* pending) {
  if (pending->request != kNotAsked || pending->refused != 0) return;
  const int tid = threads_[pending->thread].tid;
  const int request = AskForStack(tid, kFirstExpiryNs, setup_.signal);
  if (request >= 0) {
    pending->request = request;
  } else if (request != -EAGAIN) {
    pending->refused = -request;
  }
}

// True: nothing more is to be expected of this thread.
bool ThreadDump::Collect(Pending* pending) {
  ThreadRecord& thread = threads_[pending->thread];
  const int request = pending->request;
  if (request != kNotAsked) {
    const StackRequest* answer = AnswerOf(static_cast<uint32_t>(request));
    if (answer != nullptr) {
      thread.frames.assign(answer->frames, answer->frames + answer->depth);
      thread.end = answer->end;
      thread.inferred_from = kNothingInferred;
      thread.source = StackSource::kTimer;
      thread.state = 'R';
      thread.where = {};
      thread.where.kind = WhereItWaits::Kind::kRunning;
      thread.problem = answer->depth == 0 ? "its stack has no room left for a sample" : "";
      return TakeBackRequest(static_cast<uint32_t>(request));
    }
  }
  if (thread.where.kind == WhereItWaits::Kind::kDenied) return false;
  // Meanwhile it may wait.
  const char state = thread.state;
  if (!reader_.ReadWaiting(&thread)) return false;
  thread.state = state == 'R' ? reader_.files().Stat(thread.tid).state : state;
  if (request != kNotAsked && !TakeBackRequest(static_cast<uint32_t>(request))) {
    abandoned_.push_back(request);
  }
  return true;
}

void ThreadDump::GiveUp(Pending* pending) {
  ThreadRecord& thread = threads_[pending->thread];
  if (pending->request != kNotAsked && !TakeBackRequest(static_cast<uint32_t>(pending->request))) {
    abandoned_.push_back(pending->request);
  }
  if (thread.problem.empty()) thread.problem = WhyNotAnswered(pending->refused, setup_.pid != 0);
  if (thread.source != StackSource::kNone || !setup_.last_sample) return;
  thread.frames = setup_.last_sample(thread.tid);
  if (!thread.frames.empty()) thread.source = StackSource::kLastSample;
}

bool ThreadDump::Poll(uint64_t now_ns) {
  const CpuMeter meter(&agent_cpu_ns_);
  std::erase_if(abandoned_,
                [](int request) { return TakeBackRequest(static_cast<uint32_t>(request)); });
  std::erase_if(pending_, [this](Pending& pending) { return Collect(&pending); });
  const bool all_refused = std::all_of(pending_.begin(), pending_.end(),
                                       [](const Pending& p) { return p.refused != 0; });
  if (pending_.empty()) return true;
  if (now_ns < deadline_ns_ && !(all_refused && setup_.signal == 0)) {
    for (Pending& pending : pending_) Ask(&pending);
    return false;
  }
  for (Pending& pending : pending_) GiveUp(&pending);
  pending_.clear();
  return true;
}

}  // namespace sonde
