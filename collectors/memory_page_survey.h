// SPDX-License-Identifier: Apache-2.0
// What the address space of this process holds: its mappings, how much of each is in memory, and
// what kind of thing it is. The reading half of memory_page.h. Agent thread only. Memory: 48 bytes
// a mapping, at most kMaxRegions of them; the rest is counted by kind alone.
//
// What the host feels: see memory_page_pages.h; /proc/self/maps takes the same lock, for reading, a
// page of text at a time.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "collectors/memory_page.h"
#include "collectors/memory_page_pages.h"
#include "collectors/process_memory.h"

namespace sonde {

enum class RegionKind : uint8_t { kAnonymous, kBrk, kShared, kFile, kStack, kAgent, kIgnored };

struct SurveyedRegion {
  uint64_t low = 0;
  uint64_t high = 0;
  PageCounts pages;
  RegionKind kind = RegionKind::kIgnored;
  bool accessible = false;  // has any permission
  bool writable = false;
  bool is_shared = false;
  bool is_of_file = false;     // also where `kind` says whose
  bool is_named_ours = false;  // the agent's heap, where the kernel shows names

  [[nodiscard]] uint64_t size() const { return high - low; }
};

// Half-open ranges of addresses that are the agent's own, though nothing in maps says so.
struct AddressRange {
  uint64_t low = 0;
  uint64_t high = 0;
};

struct SurveyOptions {
  std::vector<uint64_t> stack_pointers;  // of the host's threads
  std::vector<uint64_t> agent_stacks;    // stack pointers of the agent's own threads
  std::vector<AddressRange> agent;
  uint64_t stack_limit_bytes = uint64_t{8} << 20;  // RLIMIT_STACK: how large libc makes stacks
  WorkBudget budget;
};

struct Survey {
  static constexpr size_t kMaxRegions = 16384;
  std::vector<SurveyedRegion> regions;  // ascending
  MappedMemory mapped;
  bool has_jvm = false;
  bool has_python = false;
  bool has_v8 = false;
  std::string problem;  // why there is nothing; empty when there is
  std::string note;     // what is less exact than usual; mostly empty
};

// Throws std::bad_alloc. Cold path only.
Survey SurveyMemory(const ProcessMemory& memory, ResidentPages* pages,
                    const SurveyOptions& options);

// The kind of a mapping as far as its line in maps tells. Pure.
RegionKind KindOf(std::string_view name, bool shared, uint64_t inode);

// Marks the stacks among `regions`: the mapping that a stack pointer is in, above its guard; and
// mappings of the same size with a guard below, which are stacks of threads that run, or that have
// ended and whose stack libc keeps. Pure.
void MarkStacks(const SurveyOptions& options, std::vector<SurveyedRegion>* regions);

}  // namespace sonde
