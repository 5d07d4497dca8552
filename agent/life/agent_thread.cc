// SPDX-License-Identifier: Apache-2.0
#include "agent/life/agent_thread.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include <cstdlib>
#include <exception>

#include "agent/life/agent.h"
#include "agent/life/host_signal.h"
#include "agent/life/own_descriptors.h"
#include "agent/life/state.h"
#include "agent/life/tree.h"
#include "agent/runtime/late_init.h"
#include "agent/runtime/resolve.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"

namespace sonde::life {
namespace {

constexpr size_t kStackBytes = 512 << 10;  // at least; touched as needed
constexpr uint64_t kStopPatienceNs = 2'000'000'000;
constexpr int kLibcSignals[] = {
    32, 33};  // cancellation and setuid: libc waits for every thread to answer

constinit std::atomic<int> g_tid{0};       // 0: none that may be signalled
constinit std::atomic<int> g_last_tid{0};  // of the newest pthread, also while it ends
constinit std::atomic<bool> g_stop{false};
constinit std::atomic<bool> g_running{false};
constinit std::atomic<bool> g_ready{false};

// Before glibc 2.34 these live in libpthread, which a single-threaded host may not have.
struct Pthread {
  int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  int (*attr_init)(pthread_attr_t*);
  int (*attr_destroy)(pthread_attr_t*);
  int (*attr_setdetachstate)(pthread_attr_t*, int);
  int (*attr_getstacksize)(const pthread_attr_t*, size_t*);
  int (*attr_setstacksize)(pthread_attr_t*, size_t);
};

template <typename Function>
bool Find(const char* name, Function** out) {
  *out = reinterpret_cast<Function*>(runtime::NextSymbol(name));
  return *out != nullptr;
}

bool FindPthread(Pthread* out) {
  return Find("pthread_create", &out->create) && Find("pthread_attr_init", &out->attr_init) &&
         Find("pthread_attr_destroy", &out->attr_destroy) &&
         Find("pthread_attr_setdetachstate", &out->attr_setdetachstate) &&
         Find("pthread_attr_getstacksize", &out->attr_getstacksize) &&
         Find("pthread_attr_setstacksize", &out->attr_setstacksize);
}

// On the task that has the agent's descriptors: the pthread itself, or one beside it.
void RunOnThisTask() {
  g_tid.store(sys::Gettid(), std::memory_order_release);
  SetTreeAgent(sys::Gettid());
  RunAgent();
  g_tid.store(0, std::memory_order_release);  // nobody signals this tid any more: it may be a host
                                              // thread's next
}

// An exception that nothing may let through, most likely for want of memory in a destructor: the
// agent gives up, not the host. Its thread ends without a word to libc, which has nothing to do
// with the exception; what it held goes with its descriptors.
[[noreturn]] void GiveUp() {
  if (!OnAgentThread()) std::abort();
  AgentCouldNotStart();
  g_tid.store(0, std::memory_order_release);
  SetAgentReady();
  g_running.store(false, std::memory_order_release);
  for (;;) sys::Call(SYS_exit, 0L);
}

void* AgentMain(void*) {
  // A real-time host's class is its own; its affinity is kept.
  const sched_param ordinary{};
  sys::Call(SYS_sched_setscheduler, 0L, SCHED_OTHER, &ordinary);
  g_last_tid.store(sys::Gettid(), std::memory_order_release);
  sys::Call(SYS_prctl, PR_SET_NAME, "sonde");
  runtime::RunLateInit();
  std::set_terminate(GiveUp);
  if (RunWithOwnDescriptors(&RunOnThisTask) == DescriptorWay::kRefused) AgentCouldNotStart();
  SetAgentReady();
  g_running.store(false, std::memory_order_release);
  return nullptr;
}

bool Create(const Pthread& libc) {
  pthread_attr_t attributes;
  if (libc.attr_init(&attributes) != 0) return false;
  libc.attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // The default is for threads of this host: libc takes the host's static thread storage out of it.
  size_t stack_bytes = 0;
  libc.attr_getstacksize(&attributes, &stack_bytes);
  if (stack_bytes < kStackBytes) libc.attr_setstacksize(&attributes, kStackBytes);
  uint64_t mask = ~uint64_t{0};
  for (int signal : kLibcSignals) mask &= ~SignalBit(signal);
  uint64_t before = 0;
  sys::Call(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, 8L);
  pthread_t thread;
  const int error = libc.create(&thread, &attributes, AgentMain, nullptr);
  sys::Call(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0L, 8L);
  libc.attr_destroy(&attributes);
  return error == 0;
}

bool IsGone(int tid) { return sys::Failed(sys::Call(SYS_tgkill, sys::Getpid(), tid, 0L)); }

bool WaitUntilGone(int tid) {
  for (uint64_t waited = 0; !IsGone(tid) && waited < kStopPatienceNs; waited += 200'000) {
    const timespec pause{0, 200'000};
    sys::Call(SYS_nanosleep, &pause, 0L);
  }
  return IsGone(tid);
}

}  // namespace

bool StartAgentThread() {
  if (g_running.load(std::memory_order_acquire)) return false;  // one that would not end in time
  Pthread libc{};
  if (!FindPthread(&libc)) return false;
  g_stop.store(false, std::memory_order_relaxed);
  g_tid.store(0, std::memory_order_relaxed);
  g_running.store(true, std::memory_order_relaxed);
  if (Create(libc)) return true;
  g_running.store(false, std::memory_order_relaxed);
  return false;
}

bool StopAgentThread() {
  if (OnAgentThread()) return false;
  if (!g_running.load(std::memory_order_acquire)) return true;
  SetTreeAgent(0);  // for a pause: no child is to take the tree over meanwhile
  g_stop.store(true, std::memory_order_release);
  while (g_tid.load(std::memory_order_acquire) == 0 && g_running.load(std::memory_order_acquire)) {
    const timespec step{0, 50'000};
    sys::Call(SYS_nanosleep, &step, 0L);
  }
  WakeAgentThread();
  return WaitUntilGone(g_last_tid.load(std::memory_order_acquire));
}

void WakeAgentThread() {
  const int tid = g_tid.load(std::memory_order_acquire);
  if (tid != 0 && tid != sys::Gettid()) SendWake(tid);
}

void HurryAgentThread() {
  const int tid = g_tid.load(std::memory_order_acquire);
  if (tid != 0) TrySendWake(tid);
}

void WakePollingThread() {
  const int tid = g_tid.load(std::memory_order_acquire);
  const int signal = g_our_signal.load(std::memory_order_acquire);
  if (tid != 0 && signal != 0) sys::Call(SYS_tgkill, sys::Getpid(), tid, signal);
}

bool OnAgentThread() { return g_tid.load(std::memory_order_relaxed) == sys::Gettid(); }

void AgentThreadAfterFork() {
  g_tid.store(0, std::memory_order_relaxed);
  g_running.store(false, std::memory_order_relaxed);
  g_stop.store(false, std::memory_order_relaxed);
  OwnDescriptorsAfterFork();
}

bool AgentIsReady() { return g_ready.load(std::memory_order_acquire); }

void SetAgentReady() { g_ready.store(true, std::memory_order_release); }

bool AgentMustStop() { return g_stop.load(std::memory_order_acquire) || MustRenewTask(); }

}  // namespace sonde::life
