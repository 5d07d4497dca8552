// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupt.h"

#include <signal.h>
#include <stdlib.h>

#include <array>

namespace sonde::cli {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
volatile sig_atomic_t g_pending = 0;

void Note(int signal_number) { g_pending = signal_number; }

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = Note;  // no SA_RESTART: a blocked wait shall return
  for (int signal_number : kSignals) {
    struct sigaction old = {};
    sigaction(signal_number, nullptr, &old);
    // Ignored by the parent (nohup, a background job of sh): stays ignored.
    if (old.sa_handler != SIG_IGN) sigaction(signal_number, &action, nullptr);
  }
}

int PendingInterrupt() { return g_pending; }

void ThrowIfInterrupted() {
  if (g_pending != 0) throw Interrupted{};
}

void DieOfInterrupt() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  const int signal_number = g_pending;
  sigaction(signal_number, &action, nullptr);
  raise(signal_number);
  _Exit(128 + signal_number);  // only if the signal is blocked
}

}  // namespace sonde::cli
