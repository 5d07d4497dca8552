// SPDX-License-Identifier: Apache-2.0
#include "agent/life/own_descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "agent/life/host_signal.h"
#include "agent/life/small_reads.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr unsigned kUnshareFlag = 2;          // CLOSE_RANGE_UNSHARE
constexpr size_t kKeptStackBytes = 96 << 10;  // of the pthread, for libc's handlers on it

constinit std::atomic<uint32_t> g_task{0};  // the kernel clears it and wakes us at the task's end
constinit std::atomic<bool> g_renew{false};
using Function = void (*)();
constinit Function g_run = nullptr;

// 0, 1 and 2 must not become sockets: anything in libc that prints would write into them.
void OpenStandardNumbers() {
  for (int i = 0; i < 3; ++i) sys::Call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
}

// The numbers in /proc/thread-self/fd but for the directory's own; -1 when it cannot be read.
int CloseListed() {
  const long directory =
      sys::Call(SYS_openat, AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (sys::Failed(directory)) return -1;
  int closed = 0;
  for (const std::string& name : ListDirectory(static_cast<int>(directory))) {
    const long number = std::atol(name.c_str());
    if (number != directory && !sys::Failed(sys::Call(SYS_close, number))) ++closed;
  }
  sys::Call(SYS_close, directory);
  return closed;
}

// Without /proc: every number that the limit permits, within reason.
void CloseAllNumbers() {
  constexpr rlim_t kEnough = 1 << 20;
  rlimit limit{kEnough, kEnough};
  sys::Call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0L, &limit);
  const rlim_t end = limit.rlim_max < kEnough ? limit.rlim_max : kEnough;
  for (rlim_t fd = 0; fd < end; ++fd) sys::Call(SYS_close, fd);
}

// The copies of the host's descriptors in a table of our own; the host's stay open in its table,
// and with them its locks.
void CloseCopies() {
  try {
    for (int round = 0; round < 8; ++round) {
      const int closed = CloseListed();
      if (closed == 0) return;
      if (closed < 0) break;
    }
  } catch (const std::bad_alloc&) {  // a list of a million names is beyond the agent's memory
  }
  CloseAllNumbers();
}

bool TakeOwnTable() {
  // Nothing is copied and nothing closed in the host: the new table starts empty.
  if (!sys::Failed(sys::Call(SYS_close_range, 0U, ~0U, kUnshareFlag))) return true;
  if (sys::Failed(sys::Call(SYS_unshare, CLONE_FILES))) return false;
  CloseCopies();
  return true;
}

// The task has the pthread's thread storage, which the pthread leaves alone meanwhile. libc's
// signals are the pthread's business.
void TaskMain() {
  const uint64_t all = ~uint64_t{0};
  sys::Call(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0L, 8L);
  CloseCopies();
  OpenStandardNumbers();
  g_run();
}

// clone(2) with everything that pthread_create shares, but for the descriptors. The new task calls
// TaskMain on the stack `top` and ends; there is nothing above it to return to or to unwind into.
__attribute__((noinline)) long CloneTask(void* top) {
  constexpr unsigned long kFlags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD |
                                   CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  long result = SYS_clone;
  register auto parent_word asm("rdx") = &g_task;
  register auto child_word asm("r10") = &g_task;
  register long no_tls asm("r8") = 0;
  register auto function asm("r12") = &TaskMain;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      ".cfi_remember_state\n\t"
      ".cfi_undefined rip\n\t"
      "xor %%ebp, %%ebp\n\t"
      "call *%[function]\n\t"
      "mov %[exit], %%eax\n\t"
      "xor %%edi, %%edi\n\t"
      "syscall\n\t"
      "hlt\n\t"
      ".cfi_restore_state\n"
      "1:"
      : "+a"(result)
      : "D"(kFlags), "S"(top), "r"(parent_word), "r"(child_word),
        "r"(no_tls), [exit] "i"(SYS_exit), [function] "r"(function)
      : "rcx", "r11", "memory");
  return result;
}

// Sleeps until the task has ended. Only libc's signals get through to this thread, and those say
// that the host changes its user or group: this thread has just done the same, the task has not.
void AwaitTask() {
  for (;;) {
    const uint32_t tid = g_task.load(std::memory_order_acquire);
    if (tid == 0) return;
    const timespec long_time{3600, 0};  // with a limit the kernel does not restart it by itself
    const long result = sys::Call(SYS_futex, &g_task, FUTEX_WAIT, tid, &long_time, 0L, 0L);
    if (result != -EINTR) continue;
    g_renew.store(true, std::memory_order_release);
    SendWake(static_cast<int>(tid));
  }
}

bool RunOnTasks() {
  char* here = static_cast<char*>(__builtin_frame_address(0));
  auto top = (reinterpret_cast<uintptr_t>(here) - kKeptStackBytes) & ~uintptr_t{63};
  do {
    g_renew.store(false, std::memory_order_relaxed);
    if (sys::Failed(CloneTask(reinterpret_cast<void*>(top)))) return false;
    AwaitTask();
  } while (g_renew.load(std::memory_order_acquire));
  return true;
}

}  // namespace

DescriptorWay RunWithOwnDescriptors(void (*run)()) {
  g_run = run;
  if (!TakeOwnTable()) return RunOnTasks() ? DescriptorWay::kOwnTask : DescriptorWay::kRefused;
  OpenStandardNumbers();
  run();
  return DescriptorWay::kOwnTable;
}

bool MustRenewTask() { return g_renew.load(std::memory_order_acquire); }

void OwnDescriptorsAfterFork() {
  g_task.store(0, std::memory_order_relaxed);
  g_renew.store(false, std::memory_order_relaxed);
}

}  // namespace sonde::life
