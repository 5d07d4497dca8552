// SPDX-License-Identifier: Apache-2.0
#include "collectors/host_threads.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cstddef>
#include <string>

#include "collectors/safe/sys.h"
#include "collectors/task_files.h"

namespace sonde {
namespace {

constexpr uint64_t kNameAgeNs = 10'000'000'000;  // a thread may rename itself

// The kernel's clock ids: ~pid << 3 | CPUCLOCK_SCHED, and bit 2 for "of a thread".
constexpr int CpuClock(int id, bool thread) {
  return static_cast<int>(~static_cast<unsigned>(id) << 3 | 2U | (thread ? 4U : 0U));
}

bool ReadClock(int clock, uint64_t* ns) {
  timespec at{};
  if (sys::Failed(sys::Call(SYS_clock_gettime, clock, &at))) return false;
  *ns = static_cast<uint64_t>(at.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(at.tv_nsec);
  return true;
}

struct LinuxDirent64 {
  uint64_t inode;
  int64_t offset;
  uint16_t record_size;
  uint8_t type;
  char name[1];
};

}  // namespace

// How much there is, with a 0 behind it; negative where it cannot be read.
long HostThreads::ReadFile(int tid, const char* leaf, char* text, size_t size) const {
  const std::string path = std::to_string(tid) + leaf;
  const long fd = sys::Call(SYS_openat, task_fd_, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return fd;
  const long got = sys::Call(SYS_read, fd, text, size - 1);
  sys::Call(SYS_close, fd);
  if (!sys::Failed(got)) text[got] = 0;
  return got;
}

int HostThreads::WaitsInCall(int tid) const {
  char text[256];
  if (ReadFile(tid, "/syscall", text, sizeof text) <= 0) return kCallUnknown;
  const WhereItWaits where = ParseSyscallText(text);
  return where.kind == WhereItWaits::Kind::kSystemCall ? where.number : kNoCall;
}

bool HostThreads::HasBlocked(int tid, int signal) const {
  char text[4096];
  if (ReadFile(tid, "/status", text, sizeof text) <= 0) return false;
  constexpr char kName[] = "\nSigBlk:\t";
  const char* mask = strstr(text, kName);
  if (mask == nullptr) return false;
  return (strtoull(mask + sizeof(kName) - 1, nullptr, 16) >> (signal - 1) & 1) != 0;
}

bool ThreadCpuTime(int tid, uint64_t* ns) { return ReadClock(CpuClock(tid, true), ns); }

bool ProcessCpuTime(int pid, uint64_t* ns) { return ReadClock(CpuClock(pid, false), ns); }

HostThreads::HostThreads(int skip_tid) : skip_tid_(skip_tid) {
  const long fd =
      sys::Call(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  task_fd_ = sys::Failed(fd) ? -1 : static_cast<int>(fd);
}

HostThreads::~HostThreads() {
  if (task_fd_ >= 0) sys::Call(SYS_close, task_fd_);
}

void HostThreads::ReadName(int tid, HostThread* thread, uint64_t now_ns) const {
  char path[32];
  char digits[12];
  size_t count = 0;
  for (int rest = tid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  char* at = path;
  while (count > 0) *at++ = digits[--count];
  memcpy(at, "/comm", 6);
  const long fd = sys::Call(SYS_openat, task_fd_, path, O_RDONLY | O_CLOEXEC);
  if (sys::Failed(fd)) return;
  char name[32];
  const long size = sys::Call(SYS_read, fd, name, sizeof name);
  sys::Call(SYS_close, fd);
  if (sys::Failed(size) || size == 0) return;
  thread->name.assign(name, static_cast<size_t>(name[size - 1] == '\n' ? size - 1 : size));
  thread->name_read_ns = now_ns;
  thread->name_cpu_ns = thread->cpu_ns;
}

// It has to run for that. Most name themselves as soon as they run, so the second look is one at
// the name too; later ones are rare, but the last name counts, also of a thread that has named
// itself and then waits for ever.
bool HostThreads::MayHaveNewName(const HostThread& thread, uint64_t now_ns) {
  if (thread.cpu_ns == thread.name_cpu_ns) return false;
  return thread.is_new || now_ns - thread.name_read_ns > kNameAgeNs;
}

bool HostThreads::Update(int tid, uint64_t now_ns) {
  uint64_t cpu_ns = 0;
  if (!ThreadCpuTime(tid, &cpu_ns)) return false;
  auto [place, is_new] = threads_.try_emplace(tid);
  HostThread& thread = place->second;
  // A clock that ran backwards is that of another thread, with a tid that was used before.
  if (cpu_ns < thread.cpu_ns) {
    thread.cpu_ns = thread.name_cpu_ns = 0;
    thread.is_new = true;
  }
  thread.delta_ns = is_new && !listed_ ? 0 : cpu_ns - thread.cpu_ns;
  thread.cpu_ns = cpu_ns;
  thread.last_seen_ns = now_ns;
  if (is_new || thread.delta_ns > 0) thread.last_busy_ns = now_ns;
  if (is_new || MayHaveNewName(thread, now_ns)) {
    ReadName(tid, &thread, now_ns);
    thread.is_new = is_new;
  }
  return true;
}

const HostThread* HostThreads::RefreshOne(int tid, uint64_t now_ns) {
  if (Update(tid, now_ns)) return &threads_[tid];
  threads_.erase(tid);
  return nullptr;
}

void HostThreads::Refresh(uint64_t now_ns) {
  if (task_fd_ < 0) return;
  sys::Call(SYS_lseek, task_fd_, 0L, SEEK_SET);
  alignas(LinuxDirent64) char buffer[8192] = {};
  for (;;) {
    const long size = sys::Call(SYS_getdents64, task_fd_, buffer, sizeof buffer);
    if (sys::Failed(size) || size == 0) break;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const LinuxDirent64*>(buffer + at);
      at += entry->record_size;
      const int tid = atoi(entry->name);
      if (tid > 0 && tid != skip_tid_) Update(tid, now_ns);
    }
    if (size < static_cast<long>(sizeof buffer / 2)) break;  // not filled: there is no more
  }
  std::erase_if(threads_, [&](const auto& item) { return item.second.last_seen_ns != now_ns; });
  listed_ = true;
}

}  // namespace sonde
