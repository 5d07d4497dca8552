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

// While one exists, the agent's thread does not: for calls of the host that the kernel permits to
// single-threaded callers only, or that change what a thread may do. Any number of host threads may
// pause at once; the last one makes the thread anew, and so with the privileges that it has then.
// Does nothing where `wanted` is false, in a process without an agent, and in a vfork or raw clone
// child. Keeps errno. The guarded call is no cancellation point.
class ThreadPause {
 public:
  explicit ThreadPause(bool wanted);
  ~ThreadPause();
  ThreadPause(const ThreadPause&) = delete;
  ThreadPause& operator=(const ThreadPause&) = delete;

 private:
  bool paused_ = false;
};

enum class DormantReason : uint8_t { kSeccomp, kMainThreadLeft, kNoThread };

// Timers, signal, thread and sockets go; this process never becomes active again.
void GoDormant(DormantReason reason);

// The same for a process whose phase is dormant already, after an activation that came too late.
void StandDown();

// In a fork child: pauses of other threads do not exist here.
void PausesAfterFork();

}  // namespace sonde::life
