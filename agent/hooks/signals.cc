// SPDX-License-Identifier: Apache-2.0
// Dispositions and synchronous waits. Any call about another signal than ours goes straight on. For
// ours: a query and SIG_DFL are answered from the record of what the host believes; anything else
// first gives the signal back (life::VacateSignal), and then the host's call runs natively.
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/signalfd.h>
#include <time.h>

#include "agent/hooks/hook.h"
#include "agent/hooks/host_memory.h"
#include "agent/hooks/versions.h"
#include "agent/life/host_signal.h"
#include "collectors/safe/cpu_timers.h"
#include "collectors/safe/sys.h"

extern "C" {
int __sigaction(int, const struct sigaction*, struct sigaction*);
sighandler_t bsd_signal(int, sighandler_t);
}

namespace {

using sonde::hooks::ReadOfHost;
using sonde::life::g_our_signal;

SONDE_REAL(sigaction);
SONDE_REAL(__sigaction);
SONDE_REAL(signal);
SONDE_REAL(bsd_signal);
SONDE_REAL(ssignal);
SONDE_REAL(sysv_signal);
SONDE_REAL(__sysv_signal);
SONDE_REAL(sigset);
SONDE_REAL(sigignore);
SONDE_REAL(siginterrupt);
SONDE_REAL(sigwait);
SONDE_REAL(sigwaitinfo);
SONDE_REAL(sigtimedwait);
SONDE_REAL(signalfd);
SONDE_REAL(sigpending);
SONDE_REAL(raise);
SONDE_REAL(pthread_kill);
SONDE_REAL(sigaltstack);

// False in a vfork or raw clone child, too: what it does concerns its own dispositions, and runs
// natively.
bool IsOurs(int signal) {
  return signal != 0 && signal == g_our_signal.load(std::memory_order_relaxed) &&
         sonde::life::OwnsState();
}

// True when the call was answered here.
bool AnswerAction(const struct sigaction* set, struct sigaction* old) {
  if (set != nullptr && set->sa_handler != SIG_DFL) return false;
  const struct sigaction wanted = set != nullptr ? *set : (struct sigaction){};
  sonde::life::HostDisposition(set != nullptr ? &wanted : nullptr, old);
  return true;
}

template <typename Function>
int Action(Function* real, int signal, const struct sigaction* set, struct sigaction* old) {
  if (IsOurs(signal)) [[unlikely]] {
    if (AnswerAction(set, old)) return 0;
    sonde::life::VacateSignal(signal);
  }
  return real(signal, set, old);
}

// The signal() family: what SIG_DFL leaves behind differs in flags only.
template <typename Function>
sighandler_t Simple(Function* real, int signal, sighandler_t handler, int default_flags) {
  if (IsOurs(signal)) [[unlikely]] {
    if (handler == SIG_DFL) {
      struct sigaction wanted {};
      wanted.sa_flags = default_flags;
      struct sigaction old {};
      sonde::life::HostDisposition(&wanted, &old);
      return old.sa_handler;
    }
    sonde::life::VacateSignal(signal);
  }
  return real(signal, handler);
}

bool SentByUs(const siginfo_t& info) {
  return info.si_code == SI_TIMER &&
         sonde::TimerCookie::IsOurs(reinterpret_cast<uint64_t>(info.si_value.sival_ptr));
}

timespec Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now;
}

timespec Minus(timespec a, const timespec& b) {
  a.tv_sec -= b.tv_sec;
  a.tv_nsec -= b.tv_nsec;
  if (a.tv_nsec < 0) {
    a.tv_nsec += 1'000'000'000;
    --a.tv_sec;
  }
  return a.tv_sec < 0 ? timespec{} : a;
}

timespec Plus(timespec a, const timespec& b) {
  a.tv_sec += b.tv_sec;
  a.tv_nsec += b.tv_nsec;
  if (a.tv_nsec >= 1'000'000'000) {
    a.tv_nsec -= 1'000'000'000;
    ++a.tv_sec;
  }
  return a;
}

// sigtimedwait that goes on waiting after a timer signal of ours. A null timeout waits for ever.
int WaitFiltered(const sigset_t* set, siginfo_t* info, const timespec* timeout) {
  siginfo_t own{};
  siginfo_t* result = info != nullptr ? info : &own;
  const timespec end = timeout != nullptr ? Plus(Now(), *timeout) : timespec{};
  timespec left = timeout != nullptr ? *timeout : timespec{};
  for (;;) {
    const int signal = timeout != nullptr ? real_sigtimedwait.get()(set, result, &left)
                                          : real_sigwaitinfo.get()(set, result);
    if (signal <= 0 || !SentByUs(*result)) return signal;
    if (timeout != nullptr) left = Minus(end, Now());
  }
}

// Bytes of an alternate stack below which a signal could not be delivered on it: the kernel's frame
// and ours.
size_t AlternateStackNeeded() {
  constexpr unsigned long kMinimalSignalStack = 51;  // AT_MINSIGSTKSZ, which older headers lack
  constexpr size_t kLargestFrame = 12 << 10;         // of x86-64, where the kernel does not say
  constexpr size_t kOurs = 2 << 10;
  const size_t frame = getauxval(kMinimalSignalStack);
  return (frame != 0 ? frame : kLargestFrame) + kOurs;
}

// The part of a set that the kernel reads; 0: it cannot be read, or there is none.
uint64_t WordOf(const sigset_t* set) {
  uint64_t word = 0;
  if (set == nullptr || !ReadOfHost(set, &word, sizeof word)) return 0;
  return word;
}

// Whether the set still holds a signal of ours, after giving it up where the host wants it.
bool MayHoldOurs(const sigset_t* set) {
  const int ours = g_our_signal.load(std::memory_order_relaxed);
  if (ours == 0) return false;
  const uint64_t word = WordOf(set);
  if ((word >> (ours - 1) & 1) == 0) return false;
  if (__builtin_popcountll(word) <= sonde::life::kFewSignals) sonde::life::VacateSignal(ours);
  return g_our_signal.load(std::memory_order_relaxed) == ours;
}

// Also before there is a signal of ours.
void NoteDescriptor(const sigset_t* set) {
  if (sonde::life::OwnsState()) sonde::life::NoteSignalDescriptor(WordOf(set));
}

}  // namespace

SONDE_EXPORT int sigaction(int signal, const struct sigaction* __restrict set,
                           struct sigaction* __restrict old) noexcept {
  return Action(real_sigaction.get(), signal, set, old);
}

SONDE_EXPORT int __sigaction(int signal, const struct sigaction* set, struct sigaction* old) {
  return Action(real___sigaction.get(), signal, set, old);
}

SONDE_EXPORT sighandler_t signal(int signal, sighandler_t handler) noexcept {
  return Simple(real_signal.get(), signal, handler, SA_RESTART);
}

SONDE_EXPORT sighandler_t bsd_signal(int signal, sighandler_t handler) {
  return Simple(real_bsd_signal.get(), signal, handler, SA_RESTART);
}

SONDE_EXPORT sighandler_t ssignal(int signal, sighandler_t handler) noexcept {
  return Simple(real_ssignal.get(), signal, handler, SA_RESTART);
}

SONDE_EXPORT sighandler_t sysv_signal(int signal, sighandler_t handler) noexcept {
  return Simple(real_sysv_signal.get(), signal, handler,
                static_cast<int>(SA_RESETHAND | SA_NODEFER));
}

SONDE_EXPORT sighandler_t __sysv_signal(int signal, sighandler_t handler) noexcept {
  return Simple(real___sysv_signal.get(), signal, handler,
                static_cast<int>(SA_RESETHAND | SA_NODEFER));
}

SONDE_EXPORT sighandler_t sigset(int signal, sighandler_t handler) noexcept {
  if (IsOurs(signal)) sonde::life::VacateSignal(signal);
  return real_sigset.get()(signal, handler);
}

SONDE_EXPORT int sigignore(int signal) noexcept {
  if (IsOurs(signal)) sonde::life::VacateSignal(signal);
  return real_sigignore.get()(signal);
}

SONDE_EXPORT int siginterrupt(int signal, int interrupt) noexcept {
  if (IsOurs(signal)) sonde::life::VacateSignal(signal);
  return real_siginterrupt.get()(signal, interrupt);
}

SONDE_EXPORT int sigwaitinfo(const sigset_t* __restrict set, siginfo_t* __restrict info) {
  if (!MayHoldOurs(set)) return real_sigwaitinfo.get()(set, info);
  return WaitFiltered(set, info, nullptr);
}

SONDE_EXPORT int sigtimedwait(const sigset_t* __restrict set, siginfo_t* __restrict info,
                              const struct timespec* __restrict timeout) {
  if (!MayHoldOurs(set)) return real_sigtimedwait.get()(set, info, timeout);
  timespec readable;
  const bool bad = timeout != nullptr && !ReadOfHost(timeout, &readable, sizeof readable);
  return bad ? real_sigtimedwait.get()(set, info, timeout) : WaitFiltered(set, info, timeout);
}

SONDE_EXPORT int sigwait(const sigset_t* __restrict set, int* __restrict signal) {
  if (!MayHoldOurs(set)) return real_sigwait.get()(set, signal);
  const int before = errno;
  int got = -1;
  do {
    got = WaitFiltered(set, nullptr, nullptr);
  } while (got < 0 && errno == EINTR);
  const int error = got < 0 ? errno : 0;
  errno = before;
  if (error == 0) *signal = got;
  return error;
}

SONDE_EXPORT int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  NoteDescriptor(mask);
  if (!MayHoldOurs(mask)) return real_signalfd.get()(fd, mask, flags);
  sigset_t without{};
  const uint64_t word = WordOf(mask);
  memcpy(&without, &word, sizeof word);
  sigdelset(&without, g_our_signal.load(std::memory_order_relaxed));
  return real_signalfd.get()(fd, &without, flags);
}

SONDE_EXPORT int sigpending(sigset_t* set) noexcept {
  const int result = real_sigpending.get()(set);
  const int ours = g_our_signal.load(std::memory_order_relaxed);
  if (result == 0 && ours != 0 && sigismember(set, ours) == 1 &&
      !sonde::life::HostSignalIsPending(ours)) {
    sigdelset(set, ours);
  }
  return result;
}

// The kernel's signal frame must fit, and a little of ours; else the first sample would kill the
// host.
SONDE_EXPORT int sigaltstack(const stack_t* __restrict set, stack_t* __restrict old) noexcept {
  stack_t wanted;
  if (set != nullptr && sonde::life::MayEverCollect() && ReadOfHost(set, &wanted, sizeof wanted)) {
    const bool fits =
        (wanted.ss_flags & SS_DISABLE) != 0 || wanted.ss_size >= AlternateStackNeeded();
    if (!fits) sonde::ForbidTimer(sonde::sys::Gettid());
    const int result = real_sigaltstack.get()(set, old);
    if (fits && result == 0) sonde::PermitTimer(sonde::sys::Gettid());
    return result;
  }
  return real_sigaltstack.get()(set, old);
}

SONDE_EXPORT int raise(int signal) noexcept {
  if (IsOurs(signal)) sonde::life::VacateSignal(signal);
  return real_raise.get()(signal);
}

SONDE_EXPORT int pthread_kill(pthread_t thread, int signal) noexcept {
  if (IsOurs(signal)) sonde::life::VacateSignal(signal);
  return real_pthread_kill.get()(thread, signal);
}

SONDE_EXPORT_AS(pthread_kill, "GLIBC_2.2.5", "GLIBC_2.34");
