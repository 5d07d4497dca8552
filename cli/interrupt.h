// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM and SIGHUP become a flag, so that every wait ends early, destructors run (they
// end the kubectl child), and the process then dies of that very signal, as shells expect. Main
// thread only.
#pragma once

namespace sonde::cli {

// Thrown by waits when a signal arrived; main() turns it into dying of that signal.
struct Interrupted {};

void CatchInterrupts();

// The signal that arrived, 0 if none.
int PendingInterrupt();

// Throws Interrupted when a signal arrived.
void ThrowIfInterrupted();

// Ends the process with the default action of the signal that arrived.
[[noreturn]] void DieOfInterrupt();

}  // namespace sonde::cli
