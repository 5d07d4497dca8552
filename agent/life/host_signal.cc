// SPDX-License-Identifier: Apache-2.0
#include "agent/life/host_signal.h"

#include <stdlib.h>
#include <string.h>

#include "agent/life/agent_thread.h"
#include "agent/life/go_program.h"
#include "agent/life/proc_text.h"
#include "agent/life/self.h"
#include "agent/life/self_timer.h"
#include "agent/life/state.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/signal_block.h"
#include "collectors/safe/sys.h"

// The kernel returns from a handler to this. Same bytes as libc's, which debuggers and unwinders
// know a signal frame by, and deliberately without call frame information.
asm(R"(
.text
.balign 16
.type sonde_sigreturn, @function
.hidden sonde_sigreturn
.globl sonde_sigreturn
  nop
sonde_sigreturn:
  mov $15, %rax
  syscall
.size sonde_sigreturn, .-sonde_sigreturn
)");
extern "C" void sonde_sigreturn();

namespace sonde::life {

constinit std::atomic<int> g_our_signal{0};
constinit std::atomic<int> g_poll_signal{0};
constinit std::atomic<bool> g_polling{false};

namespace {

constexpr unsigned long kSaRestorer = 0x04000000;
// Debuggers pass the first two silently; the others are real-time signals that libraries rarely
// use.
constexpr int kCandidates[] = {SIGPROF, SIGVTALRM, 62, 61, 60, 59, 58, 57};
// Go's runtime takes every signal when it starts, by system calls that pass the hooks by, except
// those that a C library may need for itself: 32 and 33 are glibc's, 34 would be musl's. Of a
// handler that is there for one of these it asks that it runs on the alternate stack, as ours does.
constexpr int kGoLeaves = 34;

struct State {
  SpinLock lock;
  KernelSigaction host;  // the host's disposition of our signal, a SIG_DFL one
  SignalHandler handler;
};
constinit State g_state{};
// Signals that the host once wanted. Never taken again: between giving one back and the host's own
// call there is a moment in which it looks free.
constinit std::atomic<uint64_t> g_wanted_by_host{0};
constinit std::atomic<bool> g_any_is_read{false};

long KernelSigactionCall(int signal, const KernelSigaction* set, KernelSigaction* old) {
  return sys::Call(SYS_rt_sigaction, signal, set, old, 8L);
}

bool IsFree(int signal, KernelSigaction* found) {
  return !sys::Failed(KernelSigactionCall(signal, nullptr, found)) && found->handler == nullptr;
}

// Synchronous faults stay deliverable inside our handler, so that the host's own crash handler
// reports them.
uint64_t HandlerMask() {
  uint64_t mask = ~uint64_t{0};
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS}) {
    mask &= ~SignalBit(fault);
  }
  return mask;
}

bool TryTake(int signal) {
  KernelSigaction found{};
  if ((g_wanted_by_host.load(std::memory_order_acquire) & SignalBit(signal)) != 0) return false;
  if (!IsFree(signal, &found)) return false;
  const KernelSigaction ours{reinterpret_cast<void*>(g_state.handler),
                             SA_SIGINFO | SA_RESTART | SA_ONSTACK | kSaRestorer,
                             reinterpret_cast<void*>(&sonde_sigreturn), HandlerMask()};
  g_state.host = found;
  if (sys::Failed(KernelSigactionCall(signal, &ours, nullptr))) return false;
  g_our_signal.store(signal, std::memory_order_release);
  return true;
}

void ReleaseLocked() {
  const int signal = g_our_signal.load(std::memory_order_relaxed);
  if (signal == 0) return;
  KernelSigaction now{};
  // Only what is still ours is given back: a host that went around libc keeps what it installed.
  if (!sys::Failed(KernelSigactionCall(signal, nullptr, &now)) &&
      now.handler == reinterpret_cast<void*>(g_state.handler)) {
    // Ignoring it for a moment makes the kernel drop what our timers, and wakes of our own thread,
    // left pending; but not when the host has one of its own pending.
    KernelSigactionCall(signal, &g_state.host, nullptr);
  }
  g_our_signal.store(0, std::memory_order_release);
}

// The agent thread must not be found with the signal unblocked once its disposition is the host's
// again.
void CloseTheAgentsDoor() {
  g_poll_signal.store(0, std::memory_order_seq_cst);
  if (OnAgentThread()) return;
  for (int i = 0; i < 500 && g_polling.load(std::memory_order_seq_cst); ++i) {
    WakePollingThread();
    const timespec step{0, 100'000};
    sys::Call(SYS_nanosleep, &step, 0L);
  }
}

void GiveBack(int signal) {
  SignalBlock block;
  g_wanted_by_host.fetch_or(SignalBit(signal), std::memory_order_acq_rel);
  StopAllTimers(StopReason::kSignalTaken);
  CloseTheAgentsDoor();
  SpinGuard guard(g_state.lock);
  if (g_our_signal.load(std::memory_order_relaxed) == signal) ReleaseLocked();
}

void ToLibc(const KernelSigaction& from, struct sigaction* to) {
  memset(to, 0, sizeof *to);
  to->sa_handler = reinterpret_cast<void (*)(int)>(from.handler);
  to->sa_flags = static_cast<int>(from.flags & ~kSaRestorer);
  memcpy(&to->sa_mask, &from.mask, sizeof from.mask);
}

KernelSigaction FromLibc(const struct sigaction& from) {
  KernelSigaction to{};
  to.flags = static_cast<unsigned long>(static_cast<unsigned>(from.sa_flags));
  memcpy(&to.mask, &from.sa_mask, sizeof to.mask);
  to.mask &= ~(SignalBit(SIGKILL) | SignalBit(SIGSTOP));  // as the kernel does
  return to;
}

// Under the lock, else the signal might be the host's again by the time it arrives.
void SendWakeLocked(int tid) {
  const int signal = g_our_signal.load(std::memory_order_acquire);
  if (signal != 0 && signal == g_poll_signal.load(std::memory_order_seq_cst)) {
    sys::Call(SYS_tgkill, sys::Getpid(), tid, signal);
  }
}

}  // namespace

int TakeSignal(SignalHandler handler, int wanted) {
  SignalBlock block;
  SpinGuard guard(g_state.lock);
  if (g_our_signal.load(std::memory_order_relaxed) != 0) return g_our_signal.load();
  g_state.handler = handler;
  if (wanted != 0) return TryTake(wanted) ? wanted : 0;
  if (ProgramIsGo() && TryTake(kGoLeaves)) return kGoLeaves;
  for (int candidate : kCandidates) {
    if (TryTake(candidate)) return candidate;
  }
  return 0;
}

void ReleaseSignal() {
  SignalBlock block;
  SpinGuard guard(g_state.lock);
  ReleaseLocked();
}

void VacateSignal(int signal) {
  if (!OwnsState()) return;
  GiveBack(signal);
  // A forked child has no agent thread that would look for another signal.
  if (g_self.role != Role::kChild || TakeSignal(g_state.handler, 0) == 0) return;
  AllowTimers();
  ArmSelf();
}

bool SignalWasTaken() {
  const int signal = g_our_signal.load(std::memory_order_acquire);
  if (signal == 0) return false;
  KernelSigaction now{};
  return !sys::Failed(KernelSigactionCall(signal, nullptr, &now)) &&
         now.handler != reinterpret_cast<void*>(g_state.handler);
}

void NoteSignalDescriptor(uint64_t signals) {
  if (__builtin_popcountll(signals) <= kFewSignals) {
    g_wanted_by_host.fetch_or(signals, std::memory_order_acq_rel);
  } else {
    g_any_is_read.store(true, std::memory_order_release);
  }
}

bool HostReadsAnySignal() { return g_any_is_read.load(std::memory_order_acquire); }

bool IsOurRestorer(const void* restorer) {
  return restorer == reinterpret_cast<const void*>(&sonde_sigreturn);
}

void HostDisposition(const struct sigaction* set, struct sigaction* old) {
  SignalBlock block;
  SpinGuard guard(g_state.lock);
  const KernelSigaction before = g_state.host;
  if (set != nullptr && OwnsState()) g_state.host = FromLibc(*set);
  if (old != nullptr) ToLibc(before, old);
}

// The agent thread has it unblocked only so that it can be woken. The kernel may choose it for a
// signal that every host thread blocks; that one belongs to the process and stays pending for it.
void HandBack(int signal, const siginfo_t& info) {
  g_poll_signal.store(0, std::memory_order_seq_cst);
  siginfo_t copy = info;
  // The kernel lets a thread that is not the main one queue only what carries data; a plain kill is
  // repeated.
  if (sys::Failed(sys::Call(SYS_rt_sigqueueinfo, sys::Getpid(), signal, &copy))) {
    sys::Call(SYS_kill, sys::Getpid(), signal);
  }
}

void DefaultAction(int signal, const siginfo_t& info, void*) {
  if (OnAgentThread()) {
    const bool wake = info.si_code == SI_TKILL && info.si_pid == sys::Getpid();
    if (!wake) HandBack(signal, info);
    return;
  }
  const KernelSigaction def{};
  KernelSigactionCall(signal, &def, nullptr);
  sys::Call(SYS_tgkill, sys::Getpid(), sys::Gettid(), signal);
  const uint64_t bit = SignalBit(signal);
  sys::Call(SYS_rt_sigprocmask, SIG_UNBLOCK, &bit, 0L, 8L);  // ends here for a fatal signal
}

// Puts a signal back that was taken off the queue: as it was where the kernel permits, else as its
// like.
void QueueAgain(int signal, siginfo_t info) {
  const int pid = sys::Getpid();
  if (info.si_code == SI_TKILL) {
    sys::Call(SYS_tgkill, pid, sys::Gettid(), signal);
  } else if (sys::Failed(sys::Call(SYS_rt_sigqueueinfo, pid, signal, &info))) {
    sys::Call(SYS_kill, pid, signal);
  }
}

bool HostSignalIsPending(int signal) {
  const uint64_t only = SignalBit(signal);
  const timespec now{};
  for (int i = 0; i < 64; ++i) {
    siginfo_t info{};
    if (sys::Call(SYS_rt_sigtimedwait, &only, &info, &now, 8L) != signal) return false;
    const auto cookie = reinterpret_cast<uint64_t>(info.si_value.sival_ptr);
    if (info.si_code == SI_TIMER && TimerCookie::IsOurs(cookie)) continue;
    QueueAgain(signal, info);
    return true;
  }
  return true;
}

void SendWake(int tid) {
  SignalBlock block;
  SpinGuard guard(g_state.lock);
  SendWakeLocked(tid);
}

void TrySendWake(int tid) {
  if (!g_state.lock.TryLock()) return;
  SendWakeLocked(tid);
  g_state.lock.Unlock();
}

void HostSignalAfterFork() {
  g_state.lock.Reset();
  g_poll_signal.store(0, std::memory_order_relaxed);
  g_polling.store(false, std::memory_order_relaxed);
}

}  // namespace sonde::life
