// SPDX-License-Identifier: Apache-2.0
// Which allocators are in this process, and whose malloc the service gets. Looks at exported
// symbols of loaded objects, and, where the program has none, at the texts that an allocator linked
// in and hidden leaves in its read-only data. Agent thread only. Calls nothing in an allocator.
#pragma once

#include <stdint.h>

#include <string>
#include <vector>

#include "collectors/allocator_symbols.h"
#include "collectors/process_memory.h"

namespace sonde {

enum class AllocatorKind : uint8_t {
  kGlibc,
  kJemalloc,
  kGperftools,  // tcmalloc of gperftools
  kGoogleTcmalloc,
  kMimalloc,
  kOurs,   // libsonde-tcmalloc.so's
  kOther,  // defines malloc, and nothing that we know
};
std::string_view AllocatorKindName(AllocatorKind kind);

inline constexpr std::string_view kTheProgram = "the program";

struct DetectedAllocator {
  AllocatorKind kind = AllocatorKind::kOther;
  std::string object;           // path; "the program" for the program itself
  bool serves_malloc = false;   // `malloc` of the global scope resolves to it
  bool hidden = false;          // linked in without exported symbols: nothing of it can be called
  bool samples_unseen = false;  // the hooks do not see its calls, but it samples by itself
  std::string samples_why_not;  // a clause: why its own samples are not taken; empty: no word on it
  uint64_t statistics = 0;      // address of its statistics function; 0: none
};

struct DetectedAllocators {
  std::vector<DetectedAllocator> all;  // the one that serves malloc first
  bool hooks_bypassed = false;  // an allocator is ahead of libsonde.so: its hooks see nothing
  bool hooked = false;          // libsonde.so itself defines malloc
};

// About 0.4 ms for 30 objects; the first call also reads the program's read-only data, up to
// kMaxScanBytes. Throws std::bad_alloc. Cold path only.
class AllocatorDetector {
 public:
  static constexpr size_t kMaxScanBytes = size_t{16} << 20;
  // `ours_serves`: the library that this is in brings the malloc that the service gets.
  explicit AllocatorDetector(const ProcessMemory& memory, bool ours_serves = false)
      : memory_(memory), ours_serves_(ours_serves) {}
  DetectedAllocators Detect();

 private:
  const std::vector<AllocatorKind>& HiddenInProgram();

  const ProcessMemory& memory_;
  const bool ours_serves_;
  bool scanned_ = false;
  std::vector<AllocatorKind> hidden_;
};

// Where the allocator is; null: not among them.
const LinkedObject* ObjectOf(const LinkedObjects& objects, const DetectedAllocator& allocator);

// The allocators whose texts are in `bytes`. Pure.
std::vector<AllocatorKind> AllocatorsNamedIn(std::string_view bytes);

// Sentences about what is not seen of these allocators, and why; empty when all can be.
std::vector<std::string> NotCoveredSentences(const DetectedAllocators& detected);

// "jemalloc in /usr/lib/libjemalloc.so.2, serves malloc"
std::string Describe(const DetectedAllocator& allocator);

}  // namespace sonde
