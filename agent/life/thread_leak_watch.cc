// SPDX-License-Identifier: Apache-2.0
#include "agent/life/thread_leak_watch.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "agent/endpoints/text_util.h"
#include "agent/life/child_threads.h"
#include "agent/life/self.h"
#include "collectors/host_threads.h"
#include "collectors/task_files.h"

namespace sonde::life {
namespace {

constexpr size_t kPidsNamed = 8;

std::string Number(uint64_t value) { return std::to_string(value); }

std::string FindingIdOf(uint64_t creator) {
  return MakeFindingId(FindingKind::kThreadLeak, Number(creator));
}

// "4", "4 5 6 …"
template <typename Group>
std::string PidsOf(const Group& group) {
  std::string text;
  for (size_t i = 0; i < std::min(group.size(), kPidsNamed); ++i) {
    text += (i == 0 ? "" : " ") + std::to_string(group[i]->pid);
  }
  return group.size() > kPidsNamed ? text + " …" : text;
}

std::string Sentence(const ThreadLeak& leak, size_t processes, uint64_t window_ns) {
  std::string text = "threads ";
  if (leak.pid != g_self.pid) text += "of pid " + std::to_string(leak.pid) + " ";
  text += "are made at one place and never end: " + Number(leak.live) + " live, " +
          Number(leak.entered) + " more in the last " +
          DurationText(static_cast<double>(window_ns) / 1e9) + ", " + Number(leak.idle) +
          " of them without CPU time";
  if (processes == 1) return text;
  return text + "; the same in " + Number(processes - 1) +
         (processes == 2 ? " other process" : " other processes");
}

double PerHour(uint64_t count, uint64_t window_ns) {
  return window_ns > 0 ? static_cast<double>(count) * 3600e9 / static_cast<double>(window_ns) : 0;
}

}  // namespace

void ThreadLeakWatch::AddOwn(std::span<const ThreadOrigin> origins,
                             std::vector<ThreadSeen>* seen) const {
  for (const ThreadOrigin& origin : origins) {
    ThreadSeen thread{origin.pid, origin.tid, origin.stack, 0};
    if (origin.pid == g_self.pid && ThreadCpuTime(origin.tid, &thread.cpu_ns)) {
      seen->push_back(thread);
    }
  }
}

void ThreadLeakWatch::ReadChild(std::span<const ThreadOrigin> origins, Child* child) {
  child->seen.clear();
  child->threads = origins.size();
  const TaskFiles files(origins.front().pid);
  for (const ThreadOrigin& origin : origins) {
    ThreadSeen thread{origin.pid, origin.tid, origin.stack, 0};
    if (files.CpuTime(origin.tid, &thread.cpu_ns)) child->seen.push_back(thread);
  }
}

// `origins` are sorted by process. A child that has not run made no thread, and none of its threads
// ended or used CPU time.
void ThreadLeakWatch::AddChildren(std::span<const ThreadOrigin> origins, uint64_t now_ns,
                                  std::vector<ThreadSeen>* seen) {
  refused_ = 0;
  while (!origins.empty()) {
    const int pid = origins.front().pid;
    const auto end = std::ranges::find_if(
        origins, [pid](const ThreadOrigin& origin) { return origin.pid != pid; });
    const auto own = origins.first(static_cast<size_t>(end - origins.begin()));
    origins = origins.subspan(own.size());
    uint64_t cpu_ns = 0;
    if (pid == g_self.pid || !ProcessCpuTime(pid, &cpu_ns)) continue;
    Child& child = children_[pid];
    if (child.look_ns == 0 || cpu_ns != child.cpu_ns || child.threads != own.size()) {
      ReadChild(own, &child);
    }
    child.cpu_ns = cpu_ns;
    child.look_ns = now_ns;
    if (child.seen.empty()) ++refused_;
    seen->insert(seen->end(), child.seen.begin(), child.seen.end());
  }
  std::erase_if(children_, [&](const auto& item) { return item.second.look_ns != now_ns; });
}

// The process that was named before stays the first while it leaks; else this one, or the oldest.
ThreadLeakWatch::Group ThreadLeakWatch::GroupOf(std::span<const ThreadLeak> leaks,
                                                uint64_t creator) const {
  Group group;
  for (const ThreadLeak& leak : leaks) {
    if (leak.creator == creator) group.push_back(&leak);
  }
  const auto known = named_.find(creator);
  const int named = known != named_.end() ? known->second : 0;
  const auto rank = [named](const ThreadLeak* leak) {
    return std::tuple(leak->pid != named, leak->pid != g_self.pid, leak->pid);
  };
  std::ranges::sort(group, {}, rank);
  return group;
}

std::vector<uint64_t> ThreadLeakWatch::WhereItWaits(int pid, int tid) const {
  ThreadRecord record;
  record.tid = tid;
  if (pid == g_self.pid) {
    threads_->KnowCode();
    return threads_->Reader().ReadWaiting(&record) ? record.frames : std::vector<uint64_t>{};
  }
  ThreadHistory history;
  ChildThreads child(cpu_, pid, &history);
  if (!child.ok()) return {};
  child.KnowCode();
  return child.Reader().ReadWaiting(&record) ? record.frames : std::vector<uint64_t>{};
}

void ThreadLeakWatch::Put(const Group& group, const ThreadCreators& creators, uint64_t now_ns) {
  const ThreadLeak& leak = *group.front();
  const ThreadCreator& creator = *creators.Find(leak.pid, leak.creator);
  const uint64_t window_ns = now_ns - leak.since_ns;
  uint64_t live = 0;
  for (const ThreadLeak* one : group) live += one->live;
  Finding finding;
  finding.id = FindingIdOf(leak.creator);
  finding.kind = FindingKind::kThreadLeak;
  finding.pid = leak.pid;
  finding.since_ns = leak.since_ns;
  finding.sentence = Sentence(leak, group.size(), window_ns);
  finding.facts = {{"live", Number(leak.live)},
                   {"idle", Number(leak.idle)},
                   {"entered", Number(leak.entered)},
                   {"ended", Number(leak.left)},
                   {"made", Number(creator.made)},
                   {"per_hour", FormatDecimal(PerHour(leak.entered, window_ns))},
                   {"tid", Number(static_cast<uint64_t>(leak.idle_tid))},
                   {"processes", Number(group.size())},
                   {"pids", PidsOf(group)},
                   {"live_in_all", Number(live)}};
  // A return address less 1 lies in its call: a creator's stack has no pc in front.
  std::vector<uint64_t> frames = creator.frames;
  if (!frames.empty()) --frames[0];
  finding.stacks.push_back({"where they are made", -1, std::move(frames), ""});
  std::vector<uint64_t> waits = WhereItWaits(leak.pid, leak.idle_tid);
  if (!waits.empty()) {
    finding.stacks.push_back({"where one of them waits", -1, std::move(waits), ""});
  }
  finding.next = "sonde threadcreate TARGET   |   sonde threads TARGET";
  note_(leak.pid);
  store_->Put(std::move(finding));
}

void ThreadLeakWatch::Look(std::span<const ThreadOrigin> origins, const ThreadCreators& creators,
                           uint64_t after_ns, uint64_t now_ns) {
  leaks_.Configure({after_ns});
  std::vector<ThreadOrigin> sorted(origins.begin(), origins.end());
  std::ranges::sort(sorted, {},
                    [](const ThreadOrigin& origin) { return std::pair(origin.pid, origin.tid); });
  std::vector<ThreadSeen> seen;
  AddOwn(sorted, &seen);
  AddChildren(sorted, now_ns, &seen);
  std::vector<ThreadLeak> leaks = leaks_.Observe(now_ns, seen);
  std::erase_if(leaks, [&](const ThreadLeak& leak) {
    return creators.Find(leak.pid, leak.creator) == nullptr;  // its stack was given up
  });
  std::map<uint64_t, int> named;
  for (const ThreadLeak& leak : leaks) {
    if (named.contains(leak.creator) || named.size() >= kMaxFindings) continue;
    const Group group = GroupOf(leaks, leak.creator);
    named[leak.creator] = group.front()->pid;
    Put(group, creators, now_ns);
  }
  for (const auto& [creator, pid] : named_) {
    if (!named.contains(creator)) store_->End(FindingIdOf(creator), now_ns);
  }
  named_ = std::move(named);
}

void ThreadLeakWatch::Stop(uint64_t now_ns) {
  for (const auto& [creator, pid] : std::exchange(named_, {})) {
    store_->End(FindingIdOf(creator), now_ns);
  }
  children_.clear();
}

}  // namespace sonde::life
