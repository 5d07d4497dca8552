// SPDX-License-Identifier: Apache-2.0
// The process tree's shared region, and this process's and thread's places in it. Made at
// activation by the root, inherited by every forked child. Functions say who may call them.
#pragma once

#include <atomic>
#include <cstdint>

#include "collectors/safe/region.h"
#include "collectors/safe/thread_origins.h"
#include "collectors/safe/thread_table.h"

namespace sonde::life {

// The region of the tree; its header is null until activation.
const Region& TreeRegion();

// Root, at activation, one thread: makes the region (a file in `dir`, when that is not empty and
// can be had, else anonymous memory) and takes the first process slot. False without memory; `note`
// says what else went wrong.
bool CreateTree(uint64_t bytes, const char* dir);

// Why the region is not where it was asked to be; empty when it is.
const char* TreeNote();

// A fork child, its only thread: takes a process slot below the parent's. False: it does not belong
// to the tree.
bool JoinTree();

// The agent thread, at each tick: it lives.
void BeatTree(uint64_t now_ns);

// The owner's agent thread, when it begins to work; 0: it ends, or pauses, and is not to be missed.
void SetTreeAgent(int tid);

// The port that the agent listens on (0: none); whether the host of a child has asked for it since;
// and that question, true once the port is free.
void SetTreePort(int port);
bool TreePortIsWanted();
bool AskForTreePort();

// The slot of this process in the tree.
ProcessId TreeProcess();

// The slot of the calling thread, or of thread `tid` of this process. Async-signal-safe.
ThreadId ClaimTreeThread(int tid);
// The same for a thread that has just begun. Async-signal-safe.
ThreadId ClaimNewTreeThread(int tid);

// A fork child: whether the process that owns the tree has ended, or has become another program.
bool TreeOwnerIsGone();

// A fork child whose owner is gone: true when this process is the owner now.
bool AdoptTree();

// The sampling period that the tree's agent wants; 0: off. Shared by the tree.
std::atomic<uint64_t>& TreePeriodNs();

// When the agent thread last ticked; CLOCK_MONOTONIC.
std::atomic<uint64_t>& TreeClockNs();

// Mean bytes between heap samples that the tree's agent wants; 0: off. Shared by the tree.
std::atomic<uint64_t>& TreeHeapInterval();

// What hooks shall count (HookUse) in processes of the tree that are forked from now on.
std::atomic<uint32_t>& TreeHookUses();

// Which stack made which of the tree's threads. Null before activation.
ThreadOrigins* TreeThreadOrigins();

// The agent thread: how many timers the tree may hold together, how many it holds, and what
// processes that ended left in the count.
void SetTreeTimerLimit(uint32_t limit);
uint32_t TreeTimerLimit();
uint32_t TreeTimers();
void ForgetTreeTimersOf(uint32_t process_slot);

}  // namespace sonde::life
