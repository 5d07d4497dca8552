// SPDX-License-Identifier: Apache-2.0
#include "collectors/task_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <charconv>
#include <cstdio>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

struct LinuxDirent64 {
  uint64_t inode;
  int64_t offset;
  uint16_t record_size;
  uint8_t type;
  char name[1];
};

// Takes the next word off the text.
std::string_view TakeWord(std::string_view* text) {
  text->remove_prefix(std::min(text->find_first_not_of(" \n"), text->size()));
  const size_t end = std::min(text->find_first_of(" \n"), text->size());
  const std::string_view word = text->substr(0, end);
  text->remove_prefix(end);
  return word;
}

bool TakeNumber(std::string_view* text, uint64_t* value) {
  std::string_view word = TakeWord(text);
  const bool hex = word.starts_with("0x");
  if (hex) word.remove_prefix(2);
  const char* const end = word.data() + word.size();
  const auto result = std::from_chars(word.data(), end, *value, hex ? 16 : 10);
  return !word.empty() && result.ec == std::errc() && result.ptr == end;
}

WhereItWaits Denied(int error) {
  WhereItWaits where;
  where.kind = WhereItWaits::Kind::kDenied;
  where.error = error;
  return where;
}

bool MeansGone(long result) { return result == -ESRCH || result == -ENOENT; }

}  // namespace

WhereItWaits ParseSyscallText(std::string_view text) {
  WhereItWaits where;
  if (text.starts_with("running")) {
    where.kind = WhereItWaits::Kind::kRunning;
    return where;
  }
  bool complete = true;
  if (text.starts_with("-1 ")) {
    text.remove_prefix(3);
    where.kind = WhereItWaits::Kind::kElsewhere;
  } else {
    uint64_t number = 0;
    complete = TakeNumber(&text, &number);
    where.number = static_cast<int>(number);
    where.kind = WhereItWaits::Kind::kSystemCall;
    for (uint64_t& argument : where.arguments) complete = complete && TakeNumber(&text, &argument);
  }
  complete = complete && TakeNumber(&text, &where.sp) && TakeNumber(&text, &where.pc);
  return complete ? where : Denied(EPROTO);
}

TaskStat ParseTaskStat(std::string_view text) {
  TaskStat stat;
  const size_t open = text.find('(');
  const size_t close = text.rfind(") ");  // the name may hold anything
  if (open == text.npos || close == text.npos || close < open) return stat;
  stat.name = text.substr(open + 1, close - open - 1);
  text.remove_prefix(close + 2);
  const std::string_view state = TakeWord(&text);
  stat.state = state.empty() ? 0 : state[0];
  for (int field = 4; field < 22; ++field) TakeWord(&text);
  TakeNumber(&text, &stat.start_ticks);
  return stat;
}

TaskFiles::TaskFiles(int pid) {
  char path[32];
  snprintf(path, sizeof(path), pid == 0 ? "/proc/self/task" : "/proc/%d/task", pid);
  directory_ = sys::Call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

TaskFiles::~TaskFiles() {
  if (ok()) sys::Call(SYS_close, directory_);
}

long TaskFiles::Open(int tid, const char* leaf) const {
  char path[48];
  snprintf(path, sizeof(path), "%d/%s", tid, leaf);
  return sys::Call(SYS_openat, directory_, path, O_RDONLY | O_CLOEXEC);
}

std::vector<int> TaskFiles::Tids() const {
  std::vector<int> tids;
  if (!ok()) return tids;
  sys::Call(SYS_lseek, directory_, 0L, SEEK_SET);
  alignas(LinuxDirent64) char buffer[16384];
  for (;;) {
    const long size = sys::Call(SYS_getdents64, directory_, buffer, sizeof(buffer));
    if (sys::Failed(size) || size == 0) return tids;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const LinuxDirent64*>(buffer + at);
      at += entry->record_size;
      const int tid = atoi(entry->name);
      if (tid > 0) tids.push_back(tid);
    }
  }
}

TaskStat TaskFiles::Stat(int tid) const {
  const long fd = Open(tid, "stat");
  if (sys::Failed(fd)) return {};
  char text[1024];
  const long size = sys::Call(SYS_read, fd, text, sizeof(text));
  sys::Call(SYS_close, fd);
  return sys::Failed(size) ? TaskStat()
                           : ParseTaskStat(std::string_view(text, static_cast<size_t>(size)));
}

bool TaskFiles::CpuTime(int tid, uint64_t* ns) const {
  const long fd = Open(tid, "schedstat");
  if (sys::Failed(fd)) return false;
  char text[96];
  const long size = sys::Call(SYS_read, fd, text, sizeof(text));
  sys::Call(SYS_close, fd);
  if (sys::Failed(size)) return false;
  std::string_view rest(text, static_cast<size_t>(size));
  return TakeNumber(&rest, ns);
}

std::string TaskFiles::WaitChannel(int tid) const {
  const long fd = Open(tid, "wchan");
  if (sys::Failed(fd)) return "";
  char text[128];
  const long size = sys::Call(SYS_read, fd, text, sizeof(text));
  sys::Call(SYS_close, fd);
  const std::string_view name(text, sys::Failed(size) ? 0 : static_cast<size_t>(size));
  return name == "0" ? "" : std::string(name);
}

std::string TaskFiles::Descriptor(int tid, int fd) const {
  char path[48];
  snprintf(path, sizeof(path), "%d/fd/%d", tid, fd);
  char target[512];
  const long size = sys::Call(SYS_readlinkat, directory_, path, target, sizeof(target));
  return sys::Failed(size) ? std::string() : std::string(target, static_cast<size_t>(size));
}

TaskFiles::Watch::Watch(const TaskFiles& files, int tid) : fd_(files.Open(tid, "syscall")) {}

TaskFiles::Watch::~Watch() {
  if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
}

WhereItWaits TaskFiles::Watch::Look() const {
  if (MeansGone(fd_)) return {};
  if (sys::Failed(fd_)) return Denied(static_cast<int>(-fd_));
  char text[256];
  const long size = sys::Call(SYS_pread64, fd_, text, sizeof(text), 0L);
  if (MeansGone(size)) return {};
  if (sys::Failed(size)) return Denied(static_cast<int>(-size));
  return ParseSyscallText(std::string_view(text, static_cast<size_t>(size)));
}

}  // namespace sonde
