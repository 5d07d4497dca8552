// SPDX-License-Identifier: Apache-2.0
// A region of chosen size in this process's memory, with one process and its threads, for the tests
// of this folder.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "collectors/safe/region.h"
#include "collectors/safe/region_record.h"
#include "collectors/safe/thread_table.h"

namespace sonde {

// Sanitizers cost 20 times the CPU; what long runs show beyond short ones is not theirs to show.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr uint64_t kShorter = 20;
#else
inline constexpr uint64_t kShorter = 1;
#endif

class RegionForTesting {
 public:
  explicit RegionForTesting(const RegionCounts& counts = {}) : bytes_(RegionBytes(counts)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    region_ = FormatRegion(memory_, counts);
    process_ = ClaimProcess(region_, 100, 1, {}, 1);
  }
  ~RegionForTesting() { munmap(memory_, bytes_); }
  RegionForTesting(const RegionForTesting&) = delete;
  RegionForTesting& operator=(const RegionForTesting&) = delete;

  const Region& operator*() const { return region_; }
  void* memory() const { return memory_; }
  uint64_t bytes() const { return bytes_; }
  ProcessId process() const { return process_; }
  ThreadId Thread(int32_t tid) const { return ClaimThread(region_, process_, tid, 1); }

  // Records one stack of `depth` frames that `seed` names.
  DropReason Record(ThreadId thread, uint64_t seed, uint64_t events = 1, uint64_t amount = 10,
                    uint32_t depth = 4) const {
    const std::vector<uint64_t> frames = Frames(seed, depth);
    return RecordStack(region_, {frames.data(), depth, 0}, thread, Kind::kCpu, events, amount);
  }
  static std::vector<uint64_t> Frames(uint64_t seed, uint32_t depth = 4) {
    std::vector<uint64_t> frames(depth);
    for (uint32_t i = 0; i < depth; ++i) frames[i] = 0x400000 + i * 64;
    frames[0] = seed;
    return frames;
  }

 private:
  uint64_t bytes_;
  void* memory_;
  Region region_;
  ProcessId process_;
};

// What a region has lost so far, over all kinds and reasons.
inline DropReason FirstDropReason(const Region& region) {
  for (uint32_t i = 0; i < kKindLimit * kDropReasonLimit; ++i) {
    if (region.drops[i].events.Load() != 0) return static_cast<DropReason>(i % kDropReasonLimit);
  }
  return DropReason::kNone;
}

}  // namespace sonde
