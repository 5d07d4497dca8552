// SPDX-License-Identifier: Apache-2.0
// Chooses the allocations that are recorded, and records them. Every malloc of the host passes
// SampleDue; one in `interval` bytes goes on to the rest.
//
//   malloc ─► SampleDue ──no──► the host's malloc                        5 instructions
//                 └─yes─► ChooseSample ─► the host's malloc ─► RecordBlock: stack, cell, live table
//   free ─► MayBeSampled ──no──► the host's free                         7 instructions
//                 └─yes─► ForgetBlock ─► the host's free
//
// The countdown belongs to its thread: no word that is written by every malloc is shared. A thread
// that has not been sampled before and a thread after a fork begin with a fresh random gap; a gap
// that is under way when the interval changes is finished at its own interval, and the sample
// weighted by it, so estimates stay unbiased.
//
// While the sampler is off, threads count down another word of theirs, which does not end: to load
// which of the two it is takes one instruction, a test for "off" three, or a taken branch in one of
// the cases. A thread that was here before
// goes on with its gap when the sampler is on again: what is left of an exponential gap is one.
//
// Called by the hooks, in any thread, in signal handlers, before and after main. What it touches is
// lock-free and needs no re-entry guard: nothing here allocates. Everything is private to the
// process and starts as zeros, which mean "off"; a fork or raw clone wipes it (MADV_WIPEONFORK), so
// a child is off until HeapAfterFork, and a child that never calls it (raw clone) stays off. A
// vfork child shares the memory and the heap of its parent, so what it does there is recorded
// there. Memory: 64 KiB of filter, 32 KiB of mappings, 128 KiB of scratch, touched as used; 40
// bytes of TLS a thread.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/deferred_blocks.h"
#include "collectors/safe/heap_filter.h"
#include "collectors/safe/hook_stack.h"
#include "collectors/safe/mapping_index.h"
#include "collectors/safe/region.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

// What the sampler needs of the tree; given before it is switched on.
struct HeapSetup {
  Region region;
  // Mean bytes between samples that the tree's agent wants; 0: off. Children follow it.
  std::atomic<uint64_t>* interval = nullptr;
  // CLOCK_MONOTONIC as the agent last saw it, about once a second: a system call for each sample
  // would be a tenth of its cost.
  std::atomic<uint64_t>* clock_ns = nullptr;
};

// The part that a fork or raw clone wipes. Whole pages.
struct alignas(4096) HeapPrivate {
  HeapFilter filter;
  MappingIndex mappings;
  std::atomic<uint32_t> on;
  std::atomic<uint32_t> process_slot;
  std::atomic<uint64_t> thread;            // whom cells are counted for: the process's first
  std::atomic<uint32_t> mappings_sampled;  // so far: tells mappings of one address apart
};
extern HeapPrivate g_heap;  // NOLINT(bugprone-dynamic-static-initializers): it is constinit

// The sampler's state of a thread.
struct HeapThread {
  uint64_t gaps[2];   // bytes before the next sample: [kWhileOff] and [kWhileOn]
  uint64_t random;    // 0: not begun
  uint32_t interval;  // that gaps[kWhileOn] was drawn with
  uint32_t tid;
  uint32_t exempt;  // 1: never sampled
};
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
extern constinit thread_local HeapThread t_heap;

inline constexpr uint64_t kWhileOff = 0, kWhileOn = 1;
// Which of the gaps is counted down.
// Hidden, so that a hook loads it without a look into the global offset table.
// NOLINTNEXTLINE(bugprone-dynamic-static-initializers): it is constinit
extern constinit std::atomic<uint64_t> g_gap_in_use __attribute__((visibility("hidden")));

// Malloc-safe: may not allocate or block. Takes size + 1 from the thread's gap; true: that was more
// than is left. By the carry, so no size confuses it; one instruction, so a handler that interrupts
// it harms nothing.
inline bool SampleDue(uint64_t size) {
  uint64_t& gap = t_heap.gaps[g_gap_in_use.load(std::memory_order_relaxed)];
  bool due;
  asm("stc\n\tsbb %[size], %[gap]" : "=@ccc"(due), [gap] "+m"(gap) : [size] "r"(size));
  return due;
}

// A host may call malloc with a stack that is not aligned to 16 bytes (assembly, generated code),
// which libc's does not mind: what the hooks call aligns its own.
#define SONDE_ANY_STACK __attribute__((force_align_arg_pointer))

// Malloc-safe: may not allocate or block. After SampleDue said so: the interval to record the block
// with, 0: it is not to be recorded. Draws the next gap.
SONDE_ANY_STACK uint32_t ChooseSample(uint64_t size);

// Malloc-safe: may not allocate or block. Counts the block and enters it into the live table. To be
// called before the host gets it.
SONDE_ANY_STACK void RecordBlock(const void* block, uint64_t size, uint32_t interval, Kind kind,
                                 const HookFrame& caller);

// Malloc-safe: may not allocate or block. False: the block is not in the table.
inline bool MayBeSampled(const void* block) {
  return g_heap.filter.MayHold(reinterpret_cast<uintptr_t>(block));
}

// Malloc-safe: may not allocate or block. The block goes out of the table, if it is there. To be
// called before the host's allocator may give its address to another.
SONDE_ANY_STACK void ForgetBlock(const void* block);

// Malloc-safe: may not allocate or block. A block that thinning took out of the table is no longer
// looked for. One of another process stays in that one's filter: frees of such addresses look into
// the table in vain there.
void ForgetThinned(const LiveBlock& gone);

// Malloc-safe: may not allocate or block. The same in two steps, for realloc, which may fail.
SONDE_ANY_STACK uint32_t HoldBlock(const void* block);
SONDE_ANY_STACK void ReleaseBlock(const void* block, uint32_t held, bool gone);

// Malloc-safe: may not allocate or block. What the sampler was switched on with.
const HeapSetup& CurrentHeapSetup();

// Malloc-safe: may not allocate or block. Counts bytes by which a sampled mapping grew, on the
// stack that made it.
SONDE_ANY_STACK void RecordGrowth(const LiveBlock& mapping, uint64_t bytes);

// Cold path only. Where blocks wait whose stacks need tables that are not there yet; null: nowhere.
// A forked child has no such place until it is told of one.
void SetDeferredBlocks(DeferredBlocks* blocks);

// Cold path only. Counts a block that waited, on its whole stack, and gives that to its live entry.
void FinishBlock(const DeferredBlock& block, const StackContent& stack);

// Cold path only. Samples from now on, for this process; false: the kernel cannot wipe pages on a
// fork, and the sampler stays off. No hook may count while it was off.
[[nodiscard]] bool SwitchHeapOn(const HeapSetup& setup, ProcessId process, ThreadId thread);

// Async-signal-safe. Nothing is sampled or forgotten any more.
void SwitchHeapOff();

// Async-signal-safe.
bool HeapIsOn();

// Async-signal-safe. In a fork child, in its only thread: samples for its own process from now on.
void HeapAfterFork(ProcessId process, ThreadId thread);

// Async-signal-safe. The calling thread is never sampled: the agent's own.
void ExemptThisThread();

// Async-signal-safe. Ticks of LiveBlock::birth.
uint32_t LiveTicks(const Region& region, uint64_t now_ns);

}  // namespace sonde
