// SPDX-License-Identifier: Apache-2.0
// The page that adds up: where a process's memory is, in parts whose sum is its RSS, and how the
// RSS fits into its cgroup. Pure arithmetic over numbers that others have read; no system call, no
// state, any thread.
//
//   cgroup = RSS + page cache + files in tmpfs + kernel + other processes (signed)
//   RSS    = live heap + allocator free + allocator extra + service's mmap + shared memory
//            + code and files + thread stacks + the agent + unexplained (signed)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sonde {

// In the order in which the page shows them.
enum class MemoryPart : uint8_t {
  kLiveHeap,
  kAllocatorFree,
  kAllocatorExtra,
  kServiceMmap,
  kSharedMemory,
  kCodeAndFiles,
  kThreadStacks,
  kAgent,
  kUnexplained,
};
inline constexpr size_t kMemoryParts = 9;

// "live_heap": the key in JSON and the label of the metric.
std::string_view MemoryPartName(MemoryPart part);

// Bytes in memory, by what is mapped there. All together they are the RSS, but for what changed
// while they were counted.
struct MappedMemory {
  uint64_t anonymous = 0;  // private, no file; brk heap included; stacks and the agent's left out
  uint64_t shared = 0;     // shared anonymous memory, memfd, /dev/shm, System V
  uint64_t files = 0;      // programs, libraries, mapped files, and private changes to them
  uint64_t stacks = 0;
  uint64_t agent = 0;         // libsonde.so, the region, its thread's stack and its heap
  uint64_t ambiguous = 0;     // of `anonymous`, perhaps the kernel's zero page, which no RSS counts
  uint64_t swapped = 0;       // not in memory, so in none of the others
  uint64_t unread_bytes = 0;  // address space that the time budget did not suffice for
  uint32_t regions = 0;
  uint32_t thread_stacks = 0;
};

// What one allocator of the process says, or what its heap was found to hold.
struct AllocatorNumbers {
  std::string name;       // "glibc 2.36"
  bool counted = false;   // the numbers below mean something
  uint64_t resident = 0;  // of its memory, what is in memory
  uint64_t in_use = 0;    // of that, given out to the service
  uint64_t free = 0;      // of that, kept for later
  std::string how;        // "heap walked in 12 ms", "mallctl"
  std::string problem;    // why it is not counted, or not wholly
};

// The sampler's estimate. `error_bytes` is half the width of its 95 % interval.
struct LiveHeapEstimate {
  bool sampled = false;
  uint64_t bytes = 0;
  uint64_t error_bytes = 0;
};

// Who made the service's own mappings, as the hooks sampled them: estimates.
struct MmapSite {
  uint64_t bytes = 0;            // addresses, touched or not
  uint64_t resident = 0;         // of them, in memory
  std::vector<uint64_t> frames;  // return addresses, leaf first
};

struct CgroupMemory {
  int version = 0;  // 1, 2; 0: unknown, then `problem` says why
  uint64_t current = 0;
  uint64_t limit = 0;  // 0: none
  uint64_t anonymous = 0;
  uint64_t file = 0;         // page cache, mapped files and shared memory included
  uint64_t file_mapped = 0;  // of it, mapped by someone
  uint64_t file_lists = 0;  // on the lists of what can be dropped or written back; no shared memory
  bool has_lists = false;   // the kernel says that
  uint64_t kernel = 0;
  std::string problem;
};

struct MemoryFacts {
  uint64_t rss = 0;  // as the kernel shows it
  MappedMemory mapped;
  std::vector<AllocatorNumbers> allocators;
  LiveHeapEstimate live;
  std::vector<MmapSite> mmap_sites;  // the largest, largest first
  CgroupMemory cgroup;
  std::vector<std::string> notes;  // what the service's mmaps are likely to hold, what is not known
};

enum class MemoryVerdict : uint8_t {
  kNothingUnusual,
  kAllocatorKeeps,  // not a leak
  kPageCache,       // most of the cgroup's memory is reclaimable
  kLiveHeap,        // near the limit, and the heap is what is large
  kUnexplained,     // more of the RSS than kMaxUnexplained is in no part
  kNotCovered,      // an allocator that cannot be asked
};
std::string_view MemoryVerdictName(MemoryVerdict verdict);

inline constexpr double kMaxUnexplained = 0.05;

struct CgroupSplit {
  int64_t page_cache = 0;  // not mapped: the kernel drops it when memory is short
  int64_t tmpfs = 0;       // at least: files in memory that nobody maps; removing them frees it
  int64_t kernel = 0;
  int64_t other = 0;  // other processes; negative: files that were charged to another cgroup
};

struct MemoryPage {
  MemoryFacts facts;
  std::array<int64_t, kMemoryParts> parts = {};
  bool live_is_sampled = false;    // else the live heap is what the allocator has given out
  int64_t live_not_in_memory = 0;  // of the sampled live heap: allocated and never touched
  double unexplained_share = 0;    // of the RSS, without sign
  CgroupSplit cgroup;
  MemoryVerdict verdict = MemoryVerdict::kNothingUnusual;
  std::string verdict_text;  // one sentence
  int64_t unix_ms = 0;
  double cost_ms = 0;  // of making it, in CPU time

  [[nodiscard]] int64_t Part(MemoryPart part) const { return parts[static_cast<size_t>(part)]; }
};

// The parts sum up to facts.rss exactly: what is left over, or too much, is kUnexplained.
MemoryPage MakeMemoryPage(MemoryFacts facts);

}  // namespace sonde
