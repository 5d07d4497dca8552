// SPDX-License-Identifier: Apache-2.0
// The signal that CPU timers use: which one, what the host thinks its disposition is, and how it is
// given back.
//
// Rule: only a signal whose disposition is SIG_DFL is ever taken. While we hold it, the host may
// query it and set SIG_DFL again (recorded here); as soon as the host wants anything else, the
// signal is vacated: timers gone, the kernel told what the host had, and another signal taken. So
// the host's own handlers always run natively. The agent never delivers anything but timer expiries
// of running threads; a signal of another origin gets the effect that the host's recorded
// disposition, SIG_DFL, has: it ends the process.
//
// Thread-safety: any thread, also from signal handlers (a spin lock, held with every signal
// blocked).
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>

namespace sonde::life {

// As the kernel has it (x86-64), not as libc has it.
struct KernelSigaction {
  void* handler;
  unsigned long flags;
  void* restorer;
  uint64_t mask;
};

using SignalHandler = void (*)(int, siginfo_t*, void*);

// A set of a few signals that names ours is a host that wants it; a set of nearly all is one that
// wants any.
inline constexpr int kFewSignals = 31;

// 0: none held. The word that signal hooks read.
extern std::atomic<int> g_our_signal;

// The signal that the agent thread lets through while it polls, so that it can be woken; 0: none,
// it then looks for work at short intervals. And whether it polls now.
extern std::atomic<int> g_poll_signal;
extern std::atomic<bool> g_polling;

// Takes a free signal, `wanted` if not 0, and installs `handler`. Returns the signal, or 0 when
// every candidate is taken by the host. Not for a vfork child.
int TakeSignal(SignalHandler handler, int wanted);

// Gives the signal back to the host; timers must be gone already. Async-signal-safe.
void ReleaseSignal();

// The host wants `signal` for itself: when it is ours, stops the timers, gives it back, and asks
// the agent thread for another. Async-signal-safe. Nothing happens in a process that does not own
// the state (vfork child).
void VacateSignal(int signal);

// True when the kernel's disposition of our signal is no longer our handler: the host went around
// libc.
bool SignalWasTaken();

// Ends the wait of the agent's thread `tid`. Async-signal-safe.
void SendWake(int tid);

// The same from inside our handler, where every signal is blocked: does nothing when another thread
// is about to change who has the signal. Async-signal-safe.
void TrySendWake(int tid);

// The host makes a descriptor that such signals are read from. A few are its own and never taken;
// nearly all of them: a pending one of ours would be read, so threads that block it are not armed.
// Async-signal-safe.
void NoteSignalDescriptor(uint64_t signals);
bool HostReadsAnySignal();

// Whether handlers that return to this are ours.
bool IsOurRestorer(const void* restorer);

// What the host believes of our signal; `set` (when not null) replaces it and must be a SIG_DFL
// disposition.
void HostDisposition(const struct sigaction* set, struct sigaction* old);

// Our signal is pending for the calling thread: takes what our timers sent off the queue. True when
// one that the host was sent is pending, too; that one stays. Async-signal-safe.
bool HostSignalIsPending(int signal);

// Our handler calls this for a signal that no timer of ours sent: does what SIG_DFL does.
// Async-signal-safe.
void DefaultAction(int signal, const siginfo_t& info, void* context);

// In a fork child: the lock may have been held by a thread that does not exist here.
void HostSignalAfterFork();

}  // namespace sonde::life
