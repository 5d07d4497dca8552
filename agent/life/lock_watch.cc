// SPDX-License-Identifier: Apache-2.0
#include "agent/life/lock_watch.h"

#include <algorithm>
#include <utility>

#include "agent/endpoints/text_util.h"
#include "collectors/detectors/stuck_thread.h"
#include "threads/thread_groups.h"

namespace sonde::life {
namespace {

std::string Number(uint64_t value) { return std::to_string(value); }

std::string Named(const IdleThread& idle) {
  return idle.name + " (tid " + std::to_string(idle.tid) + ")";
}

// "mutex held by tid 12", "read-write lock read by 2 threads".
std::string LockText(const LockWait& lock) {
  std::string text =
      lock.kind == LockKind::kNone ? std::string("file lock") : LockKindName(lock.kind);
  if (lock.owner != 0) return text + " held by tid " + std::to_string(lock.owner);
  if (lock.ended_owner != 0) {
    return text + " held by tid " + std::to_string(lock.ended_owner) +
           ", which has ended: nobody will unlock it";
  }
  if (lock.readers != 0) {
    text += " read by " + Number(lock.readers) + (lock.readers == 1 ? " thread" : " threads");
  }
  return text;
}

std::string StateText(const IdleThread& idle) {
  if (idle.wait == WaitClass::kForCpu) return "ready to run, but gets no CPU";
  if (idle.wait == WaitClass::kLock) return "waiting for a " + LockText(idle.lock);
  return "uninterruptible in " + PlaceName(idle.record);
}

}  // namespace

std::string LockWatch::OfProcess() const {
  return of_child_ ? " of pid " + std::to_string(pid_) : "";
}

void LockWatch::PutDeadlock(const std::vector<LockEdge>& cycle, uint64_t now_ns, Seen* seen) {
  std::string identity = of_child_ ? Number(static_cast<uint64_t>(pid_)) + "/" : "";
  Finding finding;
  finding.kind = FindingKind::kDeadlock;
  finding.severity = Severity::kCritical;
  finding.pid = pid_;
  finding.since_ns = now_ns;
  std::string names;
  for (const LockEdge& edge : cycle) {
    const IdleThread* idle = locks_.Find(edge.waiter);
    const IdleThread* owner = locks_.Find(edge.owner);
    if (idle == nullptr || owner == nullptr) return;
    deadlocked_.insert(edge.waiter);
    identity += std::to_string(edge.waiter) + ":" + Number(edge.object) + "/";
    const std::string wait = std::string(LockKindName(idle->lock.kind)) + " " +
                             HexText(edge.object) + " held by " + Named(*owner);
    names += (names.empty() ? "" : ", ") + Named(*idle);
    finding.since_ns = std::min(finding.since_ns, now_ns - idle->waits_ns);
    finding.facts.push_back(
        {"tid " + std::to_string(edge.waiter), idle->name + " waits for " + wait});
    finding.stacks.push_back({Named(*idle) + " waits for " + wait, -1, idle->record.frames, ""});
  }
  finding.id = MakeFindingId(FindingKind::kDeadlock, identity);
  finding.sentence = Number(cycle.size()) + " threads" + OfProcess() +
                     " wait for each other's locks for ever: " + names;
  if (cycle.size() == 1) {
    finding.sentence =
        "a thread" + OfProcess() + " waits for a lock that it holds itself: " + names;
  }
  finding.next = "sonde threads TARGET --all; only a restart ends it";
  seen->insert(finding.id);
  store_->Put(std::move(finding));
}

void LockWatch::PutStuck(const IdleThread& idle, uint64_t now_ns, Seen* seen) {
  Finding finding;
  finding.kind = FindingKind::kStuckThread;
  finding.pid = pid_;
  finding.since_ns = now_ns - idle.waits_ns;
  finding.id = MakeFindingId(FindingKind::kStuckThread,
                             std::to_string(idle.tid) + "/" + Number(idle.cpu_ns));
  finding.sentence = "thread " + Named(idle) + OfProcess() + " is " + StateText(idle) + " for " +
                     DurationText(static_cast<double>(idle.waits_ns) / 1e9);
  finding.facts = {{"thread", idle.name},
                   {"tid", std::to_string(idle.tid)},
                   {"wait_seconds", FormatDecimal(static_cast<double>(idle.waits_ns) / 1e9)}};
  if (!idle.record.frames.empty())
    finding.stacks = {{"where it waits", -1, idle.record.frames, ""}};
  finding.next = "sonde threads TARGET --all";
  seen->insert(finding.id);
  store_->Put(std::move(finding));
}

void LockWatch::LookForStuck(uint64_t stuck_after_ns, uint64_t now_ns, Seen* seen) {
  for (const IdleThread* idle : locks_.Suspects()) {
    if (deadlocked_.contains(idle->tid)) continue;
    if (!IsStuck({idle->wait, idle->waits_ns, idle->lock.timed}, {stuck_after_ns})) continue;
    PutStuck(*idle, now_ns, seen);
  }
}

void LockWatch::EndOthers(const Seen& seen, uint64_t now_ns) {
  for (const std::string& id : found_) {
    if (!seen.contains(id)) store_->End(id, now_ns);
  }
  found_ = seen;
}

void LockWatch::Look(ProcessThreads* process, uint64_t stuck_after_ns, uint64_t now_ns) {
  locks_.Look(process, now_ns);
  Seen seen;
  deadlocked_.clear();
  for (const auto& cycle : deadlocks_.Observe(locks_.Edges(process)))
    PutDeadlock(cycle, now_ns, &seen);
  LookForStuck(stuck_after_ns, now_ns, &seen);
  EndOthers(seen, now_ns);
}

}  // namespace sonde::life
