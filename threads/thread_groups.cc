// SPDX-License-Identifier: Apache-2.0
#include "threads/thread_groups.h"

#include <algorithm>
#include <tuple>

#include "collectors/system_calls.h"

namespace sonde {
namespace {

auto KeyOf(const ThreadRecord& thread) {
  return std::tie(thread.frames, thread.state, thread.where.number, thread.source,
                  thread.inferred_from, thread.problem, thread.channel);
}

bool SameGroup(const ThreadRecord& a, const ThreadRecord& b) { return KeyOf(a) == KeyOf(b); }

}  // namespace

std::vector<ThreadGroup> GroupThreads(const std::vector<ThreadRecord>& threads) {
  std::vector<const ThreadRecord*> sorted;
  sorted.reserve(threads.size());
  for (const ThreadRecord& thread : threads) sorted.push_back(&thread);
  std::stable_sort(sorted.begin(), sorted.end(), [](const ThreadRecord* a, const ThreadRecord* b) {
    return KeyOf(*a) < KeyOf(*b);
  });
  std::vector<ThreadGroup> groups;
  for (const ThreadRecord* thread : sorted) {
    if (groups.empty() || !SameGroup(groups.back().first(), *thread)) groups.emplace_back();
    groups.back().threads.push_back(thread);
  }
  std::sort(groups.begin(), groups.end(), [](const ThreadGroup& a, const ThreadGroup& b) {
    return a.threads.size() != b.threads.size() ? a.threads.size() > b.threads.size()
                                                : a.first().tid < b.first().tid;
  });
  return groups;
}

std::string StateName(const ThreadRecord& thread) {
  switch (thread.state) {
    case 'R':
      return "running";
    case 'S':
    case 'I':
      return "waiting";
    case 'D':
      return "uninterruptible";
    case 'T':
    case 't':
      return "stopped";
    case 'Z':
    case 'X':
      return "ended";
    default:
      return "unknown";
  }
}

std::string PlaceName(const ThreadRecord& thread) {
  if (thread.where.kind == WhereItWaits::Kind::kSystemCall) {
    return SystemCallName(thread.where.number);
  }
  if (!thread.channel.empty()) return "kernel function " + thread.channel;
  return thread.where.kind == WhereItWaits::Kind::kElsewhere ? "page fault" : "";
}

std::string StackNote(const ThreadRecord& thread) {
  if (thread.frames.empty()) return "";
  if (thread.source == StackSource::kLastSample) return "the stack is that of its last CPU sample";
  switch (thread.end) {
    case StackEnd::kRoot:
      return "";
    case StackEnd::kDepthLimit:
      return "the stack is deeper than what is shown";
    case StackEnd::kNoUnwindData:
      return "the stack is cut: code without unwind data";
    case StackEnd::kBadFrame:
    case StackEnd::kUnreadable:
      return "the stack is cut: it cannot be followed";
    case StackEnd::kTableNotBuilt:
      return "the stack is cut: the unwind table of its code is not built yet";
  }
  return "";
}

const char* SourceName(StackSource source) {
  switch (source) {
    case StackSource::kNone:
      return "none";
    case StackSource::kOutside:
      return "read while it waited";
    case StackSource::kTimer:
      return "taken while it ran";
    case StackSource::kLastSample:
      return "last CPU sample";
  }
  return "";
}

}  // namespace sonde
