// SPDX-License-Identifier: Apache-2.0
#include "agent/life/crash_guard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/life/process_end.h"
#include "agent/life/state.h"
#include "agent/life/target.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde::life {

struct CrashGuard::Page {
  static constexpr uint64_t kMagic = 0x31445241'55474453;  // "SDGUARD1", little end first
  uint64_t magic;
  std::atomic<uint32_t> inside;
  std::atomic<uint32_t> ended_regularly;
  uint32_t healthy;
  uint32_t strikes;
  int64_t pid;
  uint64_t start_ticks;
  int64_t started_unix_ms;
};

namespace {

constinit std::atomic<std::atomic<uint32_t>*> g_ended{nullptr};
constinit uint32_t* g_page_healthy = nullptr;

// The one thing done at a regular exit. The exit of a child, however it was made, is not the end of
// the program.
__attribute__((destructor)) void OnRegularExit() {
  if (g_ended.load(std::memory_order_acquire) == nullptr || !OwnsState()) return;
  if (std::atomic<uint32_t>* ended = g_ended.load(std::memory_order_acquire); ended != nullptr) {
    ended->store(1, std::memory_order_relaxed);
  }
}

}  // namespace

void RetireCrashGuard() {
  if (std::atomic<uint32_t>* ended = g_ended.exchange(nullptr, std::memory_order_acq_rel);
      ended != nullptr) {
    ended->store(1, std::memory_order_relaxed);
  }
}

void CrashGuardAfterFork() {
  g_ended.store(nullptr, std::memory_order_relaxed);
  g_page_healthy = nullptr;
}

// The file's page is allocated before it is mapped: a full file system must not kill the host by
// SIGBUS.
bool CrashGuard::Map(const std::string& path, Page** page) {
  const long fd = sys::Call(SYS_openat, AT_FDCWD, path.c_str(),
                            O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (sys::Failed(fd)) return false;
  long at = -1;
  if (!sys::Failed(sys::Call(SYS_fallocate, fd, 0L, 0L, 4096L))) {
    at = sys::Call(SYS_mmap, 0L, 4096L, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
  }
  sys::Call(SYS_close, fd);
  if (sys::Failed(at)) return false;
  *page = reinterpret_cast<Page*>(at);
  return true;
}

void CrashGuard::Judge(const std::string& path, Page* page, bool taken_over, int64_t now_unix_ms) {
  if (page->magic != Page::kMagic || now_unix_ms - page->started_unix_ms > kExpiryMs)
    page->strikes = 0;
  // Our own record, after the agent's thread had paused: nothing has ended.
  const bool ours = taken_over || page->pid == sys::Getpid();
  const bool known = page->magic == Page::kMagic && page->pid != 0 && !ours;
  const bool regular = page->ended_regularly.load(std::memory_order_relaxed) != 0;
  if (known && !regular) {
    if (page->inside.load(std::memory_order_relaxed) != 0) {
      page->strikes = kStrikes;
    } else {
      page->strikes = page->healthy != 0 ? 0 : page->strikes + 1;
    }
  } else if (known) {
    page->strikes = 0;
  }
  if (page->strikes >= kStrikes) {
    verdict_ =
        "off: crash guard (the last runs ended early or inside the agent); forgotten after 10 "
        "minutes, or remove " +
        path;
  }
}

void CrashGuard::Open(const std::string& directory, const std::string& executable, bool taken_over,
                      int64_t now_unix_ms) {
  started_unix_ms_ = now_unix_ms;
  if (directory.empty()) return;
  const std::string path = directory + "/" + BaseName(executable.c_str()) + ".guard";
  Page* page = nullptr;
  if (!Map(path, &page)) return;
  if (page->magic == Page::kMagic && !taken_over && page->pid != sys::Getpid() &&
      !ProcessHasEnded(static_cast<int>(page->pid), page->start_ticks)) {
    sys::Call(SYS_munmap, page, 4096L);  // another process of this program has it
    return;
  }
  Judge(path, page, taken_over, now_unix_ms);
  page->pid = sys::Getpid();
  page->start_ticks = StartTicksOf(sys::Getpid());
  page->started_unix_ms = now_unix_ms;
  page->healthy = 0;
  page->inside.store(0, std::memory_order_relaxed);
  page->ended_regularly.store(0, std::memory_order_relaxed);
  page->magic = Page::kMagic;
  healthy_ = false;
  g_page_healthy = &page->healthy;
  SetInsideWord(&page->inside);
  g_ended.store(&page->ended_regularly, std::memory_order_release);
}

void CrashGuard::Tick(int64_t now_unix_ms) {
  if (healthy_ || g_page_healthy == nullptr || now_unix_ms - started_unix_ms_ < kHealthyMs) return;
  healthy_ = true;
  *g_page_healthy = 1;
}

}  // namespace sonde::life
