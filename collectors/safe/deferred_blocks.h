// SPDX-License-Identifier: Apache-2.0
// Sampled blocks whose stacks came to code that has no unwind table yet, because the agent has just
// begun or because the table is made on demand: what a walk needs, with a copy of the stack, from
// which the cold side finishes the walk, counts the block and gives the live entry its whole stack.
// So sampling need not wait for the tables, and what a service allocates while it starts has
// stacks.
//
//   hook:   Begin (free → taken) → Publish (→ ready)          cold side: TakeAll (ready → free)
//
// The entry in the live table is there all the time, with the part of the stack that could be
// walked, so a free meanwhile finds it. Where no room or no stack can be had, that part is all.
//
// As deferred_samples.h it holds copies of stacks, so it is private to the process that builds the
// tables, and a fork wipes it; children do not defer. Blocks come faster than CPU samples and their
// stacks are shorter, so room is given in runs of pages. Lock-free; hooks put in, the agent's
// thread takes out. A handler of the host that leaves an interrupted hook by a jump leaks its run.
//
// Zero pages are a valid empty pool. Memory: kPages pages of address space, of which only those
// that were written count, until the cold side gives them back.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>

#include "collectors/safe/live_table.h"
#include "collectors/safe/unwind_index.h"

namespace sonde {

// At the beginning of a run of pages; the stack lies behind it.
struct DeferredBlock {
  Registers registers{};  // of the caller of the hook
  uint64_t low = 0;       // the address of stack()[0]
  uint64_t stack_bytes = 0;
  uint64_t thread = 0;  // PackThread
  uint64_t events = 0;
  uint64_t amount = 0;
  Kind kind = Kind::kNone;
  LiveName live;   // index kNoLive: it is not in the live table
  StackId walked;  // what its live entry says

  // Async-signal-safe.
  [[nodiscard]] const uint8_t* stack() const { return reinterpret_cast<const uint8_t*>(this + 1); }
};

class DeferredBlocks {
 public:
  static constexpr size_t kPageBytes = 4096;
  static constexpr uint32_t kPages = 1024;
  static constexpr uint32_t kMostPages = 16;  // of one block; what lies higher in its stack is cut

  constexpr DeferredBlocks() = default;
  DeferredBlocks(const DeferredBlocks&) = delete;
  DeferredBlocks& operator=(const DeferredBlocks&) = delete;

  // Malloc-safe: may not allocate or block. Registers and stack of the calling thread, to be filled
  // in and published, or abandoned, by the caller; null: there is no room, or the stack is not
  // known.
  DeferredBlock* Begin(const Registers& registers);

  // Malloc-safe: may not allocate or block.
  void Publish(DeferredBlock* block);

  // Malloc-safe: may not allocate or block.
  void Abandon(DeferredBlock* block);

  // Cold path only. Whether any block is ready.
  bool any() const { return ready_blocks_.load(std::memory_order_relaxed) != 0; }

  // Calls sink(block) for each that is ready, and frees it if that returns true. Cold path only,
  // one thread.
  template <typename Sink>
  void TakeAll(Sink&& sink) {
    for (uint32_t page = 0; page < kPages; ++page) {
      // Acquire pairs with Publish.
      if (!ready_[page].load(std::memory_order_acquire)) continue;
      DeferredBlock* const block = At(page);
      if (!sink(static_cast<const DeferredBlock&>(*block))) continue;
      ready_[page].store(false, std::memory_order_relaxed);
      ready_blocks_.fetch_sub(1, std::memory_order_relaxed);
      Abandon(block);
    }
  }

  // Gives the memory of the pages back that are not in use. Cold path only.
  void ReturnMemory();

  // In a forked child, in its only thread: what it has of the parent's pool is not its own.
  void Forget();

 private:
  static constexpr uint32_t kWords = kPages / 64;

  // Async-signal-safe.
  DeferredBlock* At(uint32_t page) { return reinterpret_cast<DeferredBlock*>(&pages_[page]); }
  uint32_t PageOf(const DeferredBlock* block) const;
  int Claim(uint32_t pages);

  std::atomic<uint64_t> taken_[kWords] = {};
  std::atomic<uint32_t> ready_blocks_{0};
  std::atomic<bool> ready_[kPages] = {};      // at the first page of a run
  std::atomic<uint8_t> length_[kPages] = {};  // there, too: of the run, in pages
  struct alignas(kPageBytes) Page {
    uint8_t bytes[kPageBytes];
  };
  Page pages_[kPages] = {};
};

}  // namespace sonde
