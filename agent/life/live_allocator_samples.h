// SPDX-License-Identifier: Apache-2.0
// Adds to a heap profile what an allocator sampled itself, where the hooks do not see its calls.
// Agent thread only. Memory: the last samples, at most kMaxAllocatorStacks stacks.
#pragma once

#include <cstdint>

#include "agent/endpoints/heap_source.h"
#include "collectors/allocator_samples.h"

namespace sonde::life {

class LiveAllocatorSamples {
 public:
  // Samples are kept for so many times what it took to get them.
  static constexpr uint64_t kRestShare = 100;

  explicit LiveAllocatorSamples(const ProcessMemory& memory) : memory_(memory) {}

  void AddTo(const DetectedAllocators& detected, HeapSnapshot* out);

  // Why there were none the last time that they were asked for; empty: there were, or nobody asked.
  [[nodiscard]] std::string Problem() const {
    return last_.stacks.empty() ? last_.problem : std::string();
  }

 private:
  const AllocatorSamples& Of(const DetectedAllocator& allocator);

  const ProcessMemory& memory_;
  AllocatorSamples last_;
  uint64_t read_ns_ = 0;
  uint64_t took_ns_ = 0;
};

}  // namespace sonde::life
