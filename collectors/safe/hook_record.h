// SPDX-License-Identifier: Apache-2.0
// Counts the stacks from which hooked functions are called: who makes threads, who waits for locks,
// who keeps others waiting. The heap has its own way (heap_sampler.h), because blocks live on.
//
// Called by hooks, in any thread, before and after main; lock-free, nothing here allocates. What is
// private to the process starts as zeros, which mean "off"; a fork or raw clone wipes it
// (MADV_WIPEONFORK), so a child is off until HooksAfterFork. Counts belong to the first thread of
// the process: a slot of the thread table for every thread that ever waits would leave none for
// those that burn CPU. Memory: 128 KiB of scratch, touched as used.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/hook_stack.h"
#include "collectors/safe/region.h"
#include "collectors/safe/stack_table.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

// What hooks count; bits.
enum class HookUse : uint32_t { kThreads = 1, kLocks = 2 };

// The part that a fork or raw clone wipes. A whole page.
struct alignas(4096) HookPrivate {
  std::atomic<uint32_t> uses;    // HookUse
  std::atomic<uint64_t> thread;  // whom everything is counted for
};
extern HookPrivate g_hooks;  // NOLINT(bugprone-dynamic-static-initializers): it is constinit

// What the tree's agent wants of all its processes; set before `uses`, and not null then.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
extern constinit std::atomic<uint32_t>* g_hook_uses_wanted;

// Malloc-safe: may not allocate or block.
inline bool HookCounts(HookUse use) {
  const auto bit = static_cast<uint32_t>(use);
  return (g_hooks.uses.load(std::memory_order_acquire) & bit) != 0 &&
         (g_hook_uses_wanted->load(std::memory_order_relaxed) & bit) != 0;
}

// A stack that is in the table; hash 0: it is not.
struct HookStack {
  StackId id;
  uint64_t hash = 0;
};

// Malloc-safe: may not allocate or block. Enters the stack of the hook's caller into the table.
// What cannot be entered is counted as lost, as so much of `kind`.
HookStack EnterHookStack(const HookFrame& caller, Kind kind, uint64_t events, uint64_t amount);

// Malloc-safe: may not allocate or block. Counts on a stack that was entered just now.
void CountHookStack(const HookStack& stack, Kind kind, uint64_t events, uint64_t amount);

// Malloc-safe: may not allocate or block. Both.
void RecordHookStack(const HookFrame& caller, Kind kind, uint64_t events, uint64_t amount);

// Cold path only. Counts what `wanted` says from now on, for this process, and for children forked
// later; false: the kernel cannot wipe pages on a fork, and nothing is counted. Children follow
// `wanted` when something is switched off.
[[nodiscard]] bool SwitchHooksOn(const Region& region, ThreadId thread,
                                 std::atomic<uint32_t>* wanted);

// Async-signal-safe. Nothing is counted any more.
void SwitchHooksOff();

// Async-signal-safe. In a fork child, in its only thread: counts for its own process from now on
// what is wanted.
void HooksAfterFork(ThreadId thread);

}  // namespace sonde
