// SPDX-License-Identifier: Apache-2.0
#include "agent/life/crash_guard.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#include "agent/life/process_end.h"
#include "agent/life/state.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/region_file.h"
#include "collectors/safe/sys.h"

namespace sonde::life {

struct CrashGuard::Page {
  static constexpr uint64_t kMagic = 0x32445241'55474453;  // "SDGUARD2", little end first
  uint64_t magic;
  uint64_t program;  // hash of the executable's path
  std::atomic<uint32_t> inside;
  std::atomic<uint32_t> ended_regularly;
  uint32_t healthy;
  uint32_t early_ends;
  uint32_t ended_inside;
  int64_t pid;
  uint64_t start_ticks;
  int64_t started_unix_ms;
};

namespace {

constexpr size_t kPageBytes = 4096;

constinit std::atomic<std::atomic<uint32_t>*> g_ended{nullptr};
constinit uint32_t* g_page_healthy = nullptr;
constinit void* g_page = nullptr;  // attached once a process image

// The one thing done at a regular exit. The exit of a child, however it was made, is not the end of
// the program.
__attribute__((destructor)) void OnRegularExit() {
  std::atomic<uint32_t>* ended = g_ended.load(std::memory_order_acquire);
  if (ended != nullptr && OwnsState()) ended->store(1, std::memory_order_relaxed);
}

// FNV-1a (Fowler, Noll, Vo), 64 bits, of the path and the user.
uint64_t ProgramHash(const std::string& executable) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : executable + "#" + std::to_string(sys::Call(SYS_geteuid))) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  return hash;
}

}  // namespace

// By start time, too: the main process of a container is pid 1 each time.
bool CrashGuard::IsThisProcess(const Page& page) {
  return page.pid == sys::Getpid() && page.start_ticks == StartTicksOf(sys::Getpid());
}

// Another program's segment may have the key: four keys are tried.
CrashGuard::Page* CrashGuard::Attach(const std::string& executable) {
  if (g_page != nullptr) return static_cast<Page*>(g_page);
  const uint64_t program = ProgramHash(executable);
  for (uint32_t i = 0; i < 4; ++i) {
    const auto key = static_cast<int>(static_cast<uint32_t>(program) + i);
    if (key == IPC_PRIVATE) continue;
    const long id = sys::Call(SYS_shmget, key, kPageBytes, IPC_CREAT | 0600);
    if (sys::Failed(id)) continue;
    const long at = sys::Call(SYS_shmat, id, 0L, 0L);
    if (sys::Failed(at)) continue;
    auto* page = reinterpret_cast<Page*>(at);
    if ((page->magic == 0 && page->program == 0) ||
        (page->magic == Page::kMagic && page->program == program)) {
      page->program = program;
      g_page = page;
      return page;
    }
    sys::Call(SYS_shmdt, at);
  }
  return nullptr;
}

void CrashGuard::Judge(Page* page, bool taken_over, int64_t now_unix_ms) {
  if (page->magic != Page::kMagic || now_unix_ms - page->started_unix_ms > kExpiryMs) {
    page->early_ends = page->ended_inside = 0;
  }
  // Our own record, after the agent's thread had paused: nothing has ended.
  const bool ended =
      page->magic == Page::kMagic && page->pid != 0 && !taken_over && !IsThisProcess(*page);
  if (ended && page->ended_regularly.load(std::memory_order_relaxed) != 0) {
    page->early_ends = 0;
  } else if (ended) {
    page->ended_inside += page->inside.load(std::memory_order_relaxed) != 0 ? 1 : 0;
    page->early_ends = page->healthy != 0 ? 0 : page->early_ends + 1;
  }
  if (page->ended_inside > 0) {
    verdict_ =
        "off: crash guard: the last process of this program ended while it was inside the agent's "
        "code";
  } else if (page->early_ends >= kMaxEarlyEnds) {
    verdict_ = "off: crash guard: " + std::to_string(page->early_ends) +
               " processes of this program in a row ended within 10 s by a signal or _exit";
  }
  if (!verdict_.empty()) verdict_ += "; forgotten 10 minutes after the last start";
}

void CrashGuard::Open(const std::string& executable, bool taken_over, int64_t now_unix_ms) {
  started_unix_ms_ = now_unix_ms;
  Page* page = Attach(executable);
  if (page == nullptr) return;
  const bool other = page->magic == Page::kMagic && !taken_over && !IsThisProcess(*page);
  if (other && !ProcessHasEnded(static_cast<int>(page->pid), page->start_ticks))
    return;  // it has the page
  Judge(page, taken_over, now_unix_ms);
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

void CrashGuard::Tick(int64_t now_unix_ms) {
  if (healthy_ || g_page_healthy == nullptr || now_unix_ms - started_unix_ms_ < kHealthyMs) return;
  healthy_ = true;
  *g_page_healthy = 1;
}

}  // namespace sonde::life
