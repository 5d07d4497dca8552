// SPDX-License-Identifier: Apache-2.0
// The words that a hook reads before anything else, and what it calls when they say so.
// Constant-initialised to "off": hooks run before our constructor. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace sonde::life {

enum class Phase : uint8_t {
  kInert,       // not constructed yet, or decided never to do anything
  kWaiting,     // may become active at a trigger
  kActivating,  // one host thread is activating
  kActive,      // sampling, served by the agent thread of this process or of an ancestor
  kDormant,     // gave up: seccomp filter, crash guard, failed start
};

extern std::atomic<Phase> g_phase;

// True while a trigger has something to decide; the one word that wait hooks read.
extern std::atomic<bool> g_trigger_wanted;

// Lives in a page that fork and raw clone wipe, so a child starts disabled, whichever way it was
// made.
struct Gate {
  std::atomic<uint32_t> on;  // 1: this process collects
  std::atomic<int> pid;      // of the process that may edit agent state
};
extern std::atomic<Gate*> g_gate;  // never null: a zero gate until activation

// Malloc-safe, async-signal-safe.
inline bool Collecting() {
  return g_gate.load(std::memory_order_relaxed)->on.load(std::memory_order_relaxed) != 0;
}

// False in a process that never does anything, or not any more.
inline bool MayEverCollect() {
  const Phase phase = g_phase.load(std::memory_order_relaxed);
  return phase != Phase::kInert && phase != Phase::kDormant;
}

// True when this is the process that owns the agent's private state: not a vfork or raw clone
// child. One system call. Malloc-safe, async-signal-safe.
bool OwnsState();

// A service waits or makes a thread: decides whether the agent starts now, or, in a forked child,
// whether it must take over from an agent that is gone. Keeps errno.
void OnTrigger();

}  // namespace sonde::life
