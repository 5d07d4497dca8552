// SPDX-License-Identifier: Apache-2.0
// Getting out of the host's way. Called by hooks, on host threads; each returns when the way is
// free.
#pragma once

#include <atomic>
#include <cstdint>

namespace sonde::life {

// The loopback port that the agent of this process listens on; 0: none.
extern std::atomic<int> g_our_port;
// A host thread waits for the agent thread to close the listener of g_our_port.
extern std::atomic<bool> g_yield_port;

// The host binds our port: the agent closes its listener, and does not come back to it.
void YieldPort();

// Ends and joins the agent's thread; true when there was one, and ResumeThread must follow.
bool PauseThread();
void ResumeThread();

enum class DormantReason : uint8_t { kSeccomp, kMainThreadLeft, kNoThread };

// Timers, signal, thread and sockets go; this process never becomes active again.
void GoDormant(DormantReason reason);

}  // namespace sonde::life
