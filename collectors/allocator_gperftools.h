// SPDX-License-Identifier: Apache-2.0
// The samples that gperftools' tcmalloc has taken itself, by MallocExtension::ReadStackTraces,
// which releases 2.4 to 2.18 have (2.8.1, 2.10, 2.16 and 2.18.1 were run). Agent thread only, on
// request only.
//
// It is a virtual function, and its place in the table of functions differs from build to build. So
// the place is found: it is the one that holds TCMallocImplementation's, and in the base class's
// table the base class's. Names, tables and functions must be exported by the object that the
// allocator is in and lie where they cannot be changed; anything else is a reason not to ask.
//
// What asking costs the host. The page heap's lock is held while the samples are copied, and again
// while the copies are given back, and whoever needs pages waits. A whole read takes 1 ms for
// 14,000 samples, 5.5 the first time, when memory for the copies is had from the system; 20 and 42
// for 98,000. Two threads that allocate without pause waited up to 33 ms in a first read of 40,000.
// So not above kMaxSamples, of which there are about as many as live bytes have sampling intervals.
// That memory, 272 bytes a sample, stays tcmalloc's for the next time. The agent's thread gets a
// cache from tcmalloc, which is given back.
//
// The list of samples is a block of tcmalloc's, and mostly sampled itself: then libunwind walks the
// agent's stack, under locks of its own and of the loader's that nobody resets in a forked child.
// So whoever asks keeps forks waiting meanwhile: agent/life/fork_hold.h.
//
// tcmalloc ends the process when there is no memory for a copy, and calls the host's new_handler
// when there is none for the list. So room for both must be there before.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "collectors/allocator_detect.h"
#include "collectors/allocator_samples.h"

namespace sonde {

class GperftoolsSampling {
 public:
  static constexpr uint64_t kMaxSamples = 1 << 15;

  // Reads memory, calls nothing. Throws std::bad_alloc. Cold path only.
  GperftoolsSampling(const ProcessMemory& memory, const DetectedAllocator& allocator);

  // A clause; empty: Read() may be tried.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }

  // Throws std::bad_alloc. Cold path only.
  [[nodiscard]] AllocatorSamples Read() const;

 private:
  struct Functions {
    uint64_t instance = 0;
    uint64_t read = 0;
    uint64_t base_read = 0;
    uint64_t new_array = 0;
    uint64_t new_array_nothrow = 0;
    uint64_t delete_array = 0;
    uint64_t malloc_size = 0;
    uint64_t mark_idle = 0;
    uint64_t nallocx = 0;  // 0: before 2.6, where sizes are told as they were sampled
  };
  struct Wanted;
  struct Table {
    uint64_t first = 0;  // address of the first function
    std::vector<uint64_t> functions;
  };

  void FindFunctions(const LinkedObject& object);
  void CheckTables(const LinkedObject& object);
  void FindOwnCode(const LinkedObject& object);
  [[nodiscard]] bool HasOwnNew() const;
  [[nodiscard]] std::optional<int64_t> Flag(const LinkedObject& object,
                                            std::string_view name) const;
  [[nodiscard]] std::optional<Table> ReadTable(const LinkedObject& object,
                                               std::string_view name) const;
  [[nodiscard]] AllocatorSamples ReadFrom(uint64_t self) const;
  [[nodiscard]] std::string WhyNotNow() const;
  [[nodiscard]] uint64_t CheckedInstance() const;
  [[nodiscard]] std::optional<uint64_t> Property(const char* name) const;

  const ProcessMemory& memory_;
  const LinkedObjects objects_;
  const uint64_t property_;  // MallocExtension_GetNumericProperty
  std::string why_not_;
  Functions functions_;
  int64_t interval_bytes_ = 0;
  int64_t large_report_bytes_ = 0;  // above it tcmalloc says on stderr what was allocated; 0: never
  int64_t heap_limit_mib_ = 0;      // 0: none
  std::vector<uint64_t> tables_;    // first functions of the classes that may be asked
  std::vector<LinkedObjects::Range> own_code_;
};

// What turns a list of samples into stacks.
struct GperftoolsRules {
  uint64_t interval_bytes = 0;
  // How many bytes a request took: the chance of a small block to be sampled is that of its size
  // class. Null: as many as it asked for.
  size_t (*allocated)(size_t size, int flags) = nullptr;
  std::vector<LinkedObjects::Range> own_code;  // of the allocator: left out at the leaf
};

// "count, bytes, depth, addresses…" for each, ended by a count of 0. Each sample is weighed by its
// own size; those of one stack are added up. Pure; nothing in the list is trusted.
AllocatorSamples ParseGperftoolsTraces(std::span<const uint64_t> words,
                                       const GperftoolsRules& rules);

}  // namespace sonde
