// SPDX-License-Identifier: Apache-2.0
// Buffers that a handler walks the stack into, so that it needs no room for frames on the host's
// stack. Private to the process. Thread-safety: lock-free; a buffer belongs to whom its claim word
// names. Memory: kBuffers × 2 KiB of zero pages, of which only touched ones count: the lowest free
// buffer is taken first.
//
// A host's handler may interrupt us and leave by siglongjmp, or end its thread: then nobody gives
// the buffer back. So the claim names a place on the claimer's stack, where a value lies that is
// derived from the claim. While the claimer is there, so is the value; once its frame is gone, the
// next calls write over it, or the stack is unmapped. Whether it is there still, the kernel says
// without a fault (one system call), which is asked when many buffers are taken. A value that
// happens to survive keeps its buffer for longer; a buffer in use is never taken away.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/region_layout.h"

namespace sonde {

// Constant-initialised, never destroyed.
class ScratchPool {
 public:
  static constexpr uint32_t kBuffers = 64;

  // What a claimer keeps on its stack until the release.
  struct Claimer {
    std::atomic<uint32_t> value;
    uint32_t index;  // of the buffer
  };

  // Async-signal-safe. kMaxDepth frames, or null when all are taken: count DropReason::kScratchBusy
  // then. `claimer` stays where it is, and untouched, until the release.
  uint64_t* Claim(Claimer* claimer);

  // Async-signal-safe.
  void Release(const Claimer& claimer) {
    claims_[claimer.index].store(0, std::memory_order_release);
  }

  // Async-signal-safe. In a forked child, before its first use there: other threads' claims do not
  // exist any more.
  void ResetAfterFork() {
    for (auto& claim : claims_) claim.store(0, std::memory_order_relaxed);
  }

  // Async-signal-safe. Buffers that were taken back from claimers that are no more.
  [[nodiscard]] uint32_t taken_back() const { return taken_back_.load(std::memory_order_relaxed); }

 private:
  // Up to so many at once nobody is looked at: threads do sample at the same time, and are nested.
  static constexpr uint32_t kUsual = 8;

  bool TakeFree(Claimer* claimer, uint64_t claim);
  void TakeBackOne();

  // The claimer's address, of which the upper 17 bits are always 0, and there a sequence number.
  std::atomic<uint64_t> claims_[kBuffers] = {};
  std::atomic<uint32_t> sequence_{0};
  std::atomic<uint32_t> look_at_{0};
  std::atomic<uint32_t> taken_back_{0};
  uint64_t buffers_[kBuffers][kMaxDepth] = {};
};

// A claimed buffer for the length of a scope.
class ScratchBuffer {
 public:
  // Async-signal-safe.
  explicit ScratchBuffer(ScratchPool* pool) : pool_(pool), frames_(pool->Claim(&claimer_)) {}
  // Async-signal-safe.
  ~ScratchBuffer() {
    if (frames_ != nullptr) pool_->Release(claimer_);
  }
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;

  // Async-signal-safe. kMaxDepth of them; null: none was free.
  uint64_t* frames() const { return frames_; }

 private:
  ScratchPool* pool_;
  ScratchPool::Claimer claimer_{};
  uint64_t* frames_;
};

}  // namespace sonde
