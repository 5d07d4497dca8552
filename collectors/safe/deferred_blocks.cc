// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/deferred_blocks.h"

#include <sys/mman.h>

#include "collectors/safe/copy_own_stack.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr uint32_t kMaxAttempts = 8;  // to be first in one word

// Async-signal-safe.
constexpr uint64_t RunMask(uint32_t pages) { return (uint64_t{1} << pages) - 1; }

// Async-signal-safe. Where so many bits in a row are zero; 64: nowhere.
uint32_t FindRun(uint64_t taken, uint32_t pages) {
  uint64_t starts = ~taken;
  for (uint32_t i = 1; i < pages; ++i) starts &= ~taken >> i;
  return starts != 0 ? static_cast<uint32_t>(__builtin_ctzll(starts)) : 64;
}

// Async-signal-safe.
uint32_t PagesFor(uint64_t stack_bytes) {
  const uint64_t bytes = sizeof(DeferredBlock) + stack_bytes;
  const uint64_t pages = (bytes + DeferredBlocks::kPageBytes - 1) / DeferredBlocks::kPageBytes;
  return pages < DeferredBlocks::kMostPages ? static_cast<uint32_t>(pages)
                                            : DeferredBlocks::kMostPages;
}

}  // namespace

// Async-signal-safe.
uint32_t DeferredBlocks::PageOf(const DeferredBlock* block) const {
  return static_cast<uint32_t>(reinterpret_cast<const Page*>(block) - pages_);
}

// Malloc-safe: may not allocate or block. The first page of a run that is the caller's now;
// negative: there is none. A run does not go beyond its word.
int DeferredBlocks::Claim(uint32_t pages) {
  for (uint32_t word = 0; word < kWords; ++word) {
    uint64_t taken = taken_[word].load(std::memory_order_relaxed);
    for (uint32_t attempt = 0; attempt < kMaxAttempts; ++attempt) {
      const uint32_t at = FindRun(taken, pages);
      if (at == 64) break;
      // Acquire pairs with Abandon: who had the pages is done with them.
      if (taken_[word].compare_exchange_weak(taken, taken | RunMask(pages) << at,
                                             std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
        return static_cast<int>(word * 64 + at);
      }
    }
  }
  return -1;
}

// Malloc-safe: may not allocate or block.
DeferredBlock* DeferredBlocks::Begin(const Registers& registers) {
  const uint64_t sp = registers.gpr[kRsp];
  const uint64_t wanted = OwnStackBytes(sp);
  if (wanted == 0) return nullptr;
  const uint32_t pages = PagesFor(wanted);
  const int page = Claim(pages);
  if (page < 0) return nullptr;
  length_[page].store(static_cast<uint8_t>(pages), std::memory_order_relaxed);
  DeferredBlock* const block = At(static_cast<uint32_t>(page));
  auto* const stack = reinterpret_cast<uint8_t*>(block + 1);
  const OwnStackCopy copy = CopyOwnStack(sp, stack, pages * kPageBytes - sizeof(DeferredBlock));
  if (copy.bytes == 0) {
    Abandon(block);
    return nullptr;
  }
  block->registers = registers;
  block->low = copy.low;
  block->stack_bytes = copy.bytes;
  return block;
}

// Malloc-safe: may not allocate or block.
void DeferredBlocks::Publish(DeferredBlock* block) {
  ready_blocks_.fetch_add(1, std::memory_order_relaxed);
  ready_[PageOf(block)].store(true, std::memory_order_release);  // pairs with TakeAll
}

// Malloc-safe: may not allocate or block.
void DeferredBlocks::Abandon(DeferredBlock* block) {
  const uint32_t page = PageOf(block);
  const uint64_t run = RunMask(length_[page].load(std::memory_order_relaxed)) << page % 64;
  taken_[page / 64].fetch_and(~run, std::memory_order_release);  // pairs with Claim
}

// Cold path only. The free pages are held as a writer would hold them meanwhile.
void DeferredBlocks::ReturnMemory() {
  for (uint32_t word = 0; word < kWords; ++word) {
    const uint64_t taken = taken_[word].fetch_or(~uint64_t{0}, std::memory_order_acquire);
    for (uint32_t i = 0; i < 64; ++i) {
      if ((taken >> i & 1) != 0) continue;
      uint32_t end = i + 1;
      while (end < 64 && (taken >> end & 1) == 0) ++end;
      sys::Call(SYS_madvise, &pages_[word * 64 + i], (end - i) * kPageBytes, MADV_DONTNEED);
      i = end;
    }
    taken_[word].fetch_and(taken, std::memory_order_release);
  }
}

// Cold path only.
void DeferredBlocks::Forget() {
  for (std::atomic<uint64_t>& word : taken_) word.store(0, std::memory_order_relaxed);
  for (std::atomic<bool>& ready : ready_) ready.store(false, std::memory_order_relaxed);
  ready_blocks_.store(0, std::memory_order_relaxed);
}

}  // namespace sonde
