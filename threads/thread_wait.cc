// SPDX-License-Identifier: Apache-2.0
#include "threads/thread_wait.h"

#include <poll.h>
#include <time.h>

#include <algorithm>

#include "collectors/system_calls.h"
#include "profile/number_text.h"
#include "threads/socket_names.h"

namespace sonde {
namespace {

constexpr size_t kMaxFdsNamed = 4;
constexpr uint64_t kMaxFdsRead = 256;

}  // namespace

ThreadWaits::ThreadWaits(const std::vector<ThreadRecord>& threads, const TaskFiles* files,
                         const ReadableMemory& memory, int pid)
    : files_(files), memory_(memory), pid_(pid) {
  for (const ThreadRecord& thread : threads) by_tid_[thread.tid] = &thread;
}

const std::string& ThreadWaits::Socket(const std::string& link) {
  if (!sockets_read_) {
    sockets_read_ = true;
    sockets_ = ReadSocketNames(pid_);
  }
  std::string& name = sockets_[link];
  if (name.empty()) name = "a socket";
  return name;
}

std::string ThreadWaits::Fd(int tid, uint64_t number) {
  const int fd = static_cast<int>(number);
  if (fd < 0) return "";
  std::string& text = fds_[fd];
  if (!text.empty()) return text;
  const std::string link = files_ == nullptr ? std::string() : files_->Descriptor(tid, fd);
  text = "fd " + std::to_string(fd);
  if (link.starts_with("socket:")) {
    text += ": " + Socket(link);
  } else if (!link.empty()) {
    text += ": " + link;
  }
  return text;
}

std::string ThreadWaits::Futex(const ThreadRecord& thread,
                               const std::vector<std::string_view>& functions) {
  const LockWait wait = DecodeLockWait(memory_, thread.where, functions,
                                       [this](int tid) { return by_tid_.contains(tid); });
  std::string text = std::string(LockKindName(wait.kind)) + " " + HexText(wait.object);
  if (wait.ended_owner != 0) {
    return text + " held by tid " + std::to_string(wait.ended_owner) + ", which has ended";
  }
  if (wait.readers != 0) {
    return text + " read by " + std::to_string(wait.readers) +
           (wait.readers == 1 ? " thread" : " threads");
  }
  if (wait.owner == 0) return text;
  const std::string owner =
      "tid " + std::to_string(wait.owner) + " (" + by_tid_[wait.owner]->name + ")";
  if (wait.kind == LockKind::kJoin) return "end of " + owner;
  return text + (wait.kind == LockKind::kReadWriteLock ? " written by " : " held by ") + owner;
}

std::string ThreadWaits::Several(int tid, const std::vector<int>& fds, size_t in_all) {
  if (in_all == 0) return "no descriptor";
  std::string text;
  for (size_t i = 0; i < std::min(fds.size(), kMaxFdsNamed); ++i) {
    text += (i == 0 ? "" : ", ") + Fd(tid, static_cast<uint64_t>(fds[i]));
  }
  if (in_all > kMaxFdsNamed) text += ", " + std::to_string(in_all - kMaxFdsNamed) + " more";
  return text;
}

std::string ThreadWaits::PollSet(const ThreadRecord& thread) {
  const uint64_t count = thread.where.arguments[1];
  std::vector<pollfd> polled(std::min(count, kMaxFdsRead));
  if (!memory_.Read(thread.where.arguments[0], polled.data(), polled.size() * sizeof(pollfd))) {
    return std::to_string(count) + " descriptors";
  }
  std::vector<int> fds;
  fds.reserve(polled.size());
  for (const pollfd& item : polled) fds.push_back(item.fd);
  return Several(thread.tid, fds, count);
}

std::string ThreadWaits::SelectSet(const ThreadRecord& thread) {
  const uint64_t limit = std::min<uint64_t>(thread.where.arguments[0], 1024);
  std::vector<uint8_t> any((limit + 7) / 8);
  for (int set = 1; set <= 3; ++set) {
    std::vector<uint8_t> bits(any.size());
    if (thread.where.arguments[set] == 0) continue;
    if (!memory_.Read(thread.where.arguments[set], bits.data(), bits.size())) continue;
    for (size_t i = 0; i < bits.size(); ++i) any[i] = static_cast<uint8_t>(any[i] | bits[i]);
  }
  std::vector<int> fds;
  for (uint64_t fd = 0; fd < limit; ++fd) {
    if ((any[fd / 8] >> fd % 8 & 1) != 0) fds.push_back(static_cast<int>(fd));
  }
  return Several(thread.tid, fds, fds.size());
}

std::string ThreadWaits::Sleep(uint64_t address, bool until) const {
  timespec time{};
  if (!memory_.ReadObject(address, &time)) return "";
  const double seconds = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  return until ? "until a point in time" : "for " + DurationText(seconds);
}

std::string ThreadWaits::Describe(const ThreadRecord& thread,
                                  const std::vector<std::string_view>& functions) {
  const WhereItWaits& where = thread.where;
  if (where.kind != WhereItWaits::Kind::kSystemCall) return "";
  switch (SystemCallOf(where.number).argument) {
    case WaitArgument::kNothing:
      return "";
    case WaitArgument::kFd:
      return Fd(thread.tid, where.arguments[0]);
    case WaitArgument::kFutex:
      return Futex(thread, functions);
    case WaitArgument::kSleep:
      return Sleep(where.arguments[0], false);
    case WaitArgument::kClockSleep:
      return Sleep(where.arguments[2], (where.arguments[1] & TIMER_ABSTIME) != 0);
    case WaitArgument::kPollSet:
      return PollSet(thread);
    case WaitArgument::kSelectSet:
      return SelectSet(thread);
    case WaitArgument::kProcess:
      return "process " + std::to_string(static_cast<int>(where.arguments[0]));
    case WaitArgument::kWaitId:
      return "process " + std::to_string(static_cast<int>(where.arguments[1]));
    case WaitArgument::kIpcId:
      return "IPC id " + std::to_string(static_cast<int>(where.arguments[0]));
  }
  return "";
}

}  // namespace sonde
