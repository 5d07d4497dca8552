// SPDX-License-Identifier: Apache-2.0
// Buffers that a handler walks the stack into, so that it needs no room for frames on the host's
// stack. Private to the process. Thread-safety: claimed and given back by one atomic bitmap.
// Memory: kBuffers × 2 KiB of zero pages, of which only touched ones count: the lowest free buffer
// is taken first.
#pragma once

#include <stdint.h>

#include <atomic>

#include "collectors/safe/region_layout.h"

namespace sonde {

// Constant-initialised, never destroyed.
class ScratchPool {
 public:
  static constexpr uint32_t kBuffers = 64;

  // Async-signal-safe. kMaxDepth frames, or null when all are taken: count DropReason::kScratchBusy
  // then.
  uint64_t* Claim();

  // Async-signal-safe.
  void Release(uint64_t* buffer);

  // Async-signal-safe. In a forked child, before its first use there: other threads' claims do not
  // exist any more.
  void ResetAfterFork() { taken_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> taken_{0};
  uint64_t buffers_[kBuffers][kMaxDepth] = {};
};

// A claimed buffer for the length of a scope.
class ScratchBuffer {
 public:
  // Async-signal-safe.
  explicit ScratchBuffer(ScratchPool* pool) : pool_(pool), frames_(pool->Claim()) {}
  // Async-signal-safe.
  ~ScratchBuffer() {
    if (frames_ != nullptr) pool_->Release(frames_);
  }
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;

  // Async-signal-safe. kMaxDepth of them; null: none was free.
  uint64_t* frames() const { return frames_; }

 private:
  ScratchPool* pool_;
  uint64_t* frames_;
};

}  // namespace sonde
