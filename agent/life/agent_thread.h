// SPDX-License-Identifier: Apache-2.0
// The one thread of the agent: how it is made, woken, paused for a call of the host that wants a
// single-threaded process, and ended (traps 1, 2).
//
// A glibc pthread, because libc must reach it for setuid; all signals blocked but the two that libc
// needs; its file descriptors are its own, so the host sees none of them and no loop that closes
// all descriptors hurts it.
#pragma once

#include <atomic>
#include <cstdint>

namespace sonde::life {

// From a host thread. False when the host's libc has no threads to offer or refuses; the host is
// unharmed.
bool StartAgentThread();

// From a host thread: ends and joins it. False when there was none, or the caller is the agent
// thread itself.
bool StopAgentThread();

// Interrupts the agent thread's wait. From any thread of the process.
void WakeAgentThread();

// The same from inside our handler: interrupts it if nothing speaks against it. Async-signal-safe.
void HurryAgentThread();

// The same, while our handler is certain to be installed still.
void WakePollingThread();

// True on the agent thread.
bool OnAgentThread();

// The agent samples, or has decided not to: a fork child will inherit all it needs. Set by the
// agent thread.
bool AgentIsReady();
void SetAgentReady();

// In a fork child: that thread does not exist here.
void AgentThreadAfterFork();

// Read by the agent thread's loop.
bool AgentMustStop();

}  // namespace sonde::life
