// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_release.h"

#include <string_view>

#include "collectors/allocator_symbols.h"

namespace sonde {
namespace {

// The interfaces as their manuals give them.
using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);
using MallocTrim = int (*)(size_t);
using ReleaseBytes = void (*)(size_t);

// Of the object that the allocator is in; 0: it does not export it.
uint64_t Find(const ProcessMemory& memory, const DetectedAllocator& allocator,
              std::string_view symbol) {
  const LinkedObjects objects(memory);
  const LinkedObject* object = ObjectOf(objects, allocator);
  return object == nullptr ? 0 : objects.Find(*object, symbol).value_or(0);
}

ReleaseOutcome Lacks(std::string_view symbol) {
  return {false, "this allocator does not export " + std::string(symbol)};
}

ReleaseOutcome Trim(uint64_t address, const ReleaseRequest& request) {
  if (address == 0) return Lacks("malloc_trim");
  const double stall_ms = static_cast<double>(request.heap_bytes >> 20) * kTrimMsPerMiB;
  if (stall_ms > kMaxStallMs && !request.force) {
    return {false, "glibc's malloc_trim would hold the locks of a heap of " +
                       std::to_string(request.heap_bytes >> 20) +
                       " MiB, and whoever allocates "
                       "would wait for up to " +
                       std::to_string(static_cast<int>(stall_ms)) +
                       " ms: expected force=1 if the service can bear that"};
  }
  const int any = reinterpret_cast<MallocTrim>(address)(0);
  return {true, any != 0 ? "glibc gave back what it could, by malloc_trim"
                         : "glibc had nothing that it could give back"};
}

// 4096 stands for all arenas (MALLCTL_ARENAS_ALL).
ReleaseOutcome Purge(uint64_t address) {
  if (address == 0) return Lacks("mallctl");
  if (reinterpret_cast<Mallctl>(address)("arena.4096.purge", nullptr, nullptr, nullptr, 0) != 0)
    return {false, "this jemalloc refused arena.4096.purge: it is older than 5.0"};
  return {true, "jemalloc gave back what it kept, by arena.4096.purge"};
}

ReleaseOutcome InSteps(uint64_t address, std::string_view symbol, const ReleaseRequest& request) {
  if (address == 0) return Lacks(symbol);
  uint64_t asked = 0;
  for (; asked < request.free_bytes && !request.budget.IsUsedUp(); asked += kReleaseStepBytes)
    reinterpret_cast<ReleaseBytes>(address)(kReleaseStepBytes);
  return {true, "tcmalloc was asked to give back " + std::to_string(asked >> 20) + " MiB, by " +
                    std::string(symbol)};
}

ReleaseOutcome OursInSteps(const ReleaseRequest& request) {
  uint64_t released = 0, step = 1;
  while (step != 0 && released < request.free_bytes && !request.budget.IsUsedUp())
    released += step = request.release(kReleaseStepBytes);
  return {true, "sonde-tcmalloc gave back " + std::to_string(released >> 20) + " MiB"};
}

}  // namespace

ReleaseOutcome ReleaseFreeMemory(const ProcessMemory& memory, const DetectedAllocator& allocator,
                                 const ReleaseRequest& request) {
  constexpr std::string_view kGperftools = "MallocExtension_ReleaseToSystem";
  constexpr std::string_view kGoogle = "MallocExtension_Internal_ReleaseMemoryToSystem";
  switch (allocator.kind) {
    case AllocatorKind::kGlibc:
      return Trim(Find(memory, allocator, "malloc_trim"), request);
    case AllocatorKind::kJemalloc:
      return Purge(allocator.statistics);
    case AllocatorKind::kGperftools:
      return InSteps(Find(memory, allocator, kGperftools), kGperftools, request);
    case AllocatorKind::kGoogleTcmalloc:
      return InSteps(Find(memory, allocator, kGoogle), kGoogle, request);
    case AllocatorKind::kOurs:
      return OursInSteps(request);
    case AllocatorKind::kMimalloc:
      return {false, "mimalloc gives back only what belongs to the thread that asks (mi_collect)"};
    case AllocatorKind::kOther:
      break;
  }
  return {false, "an unknown allocator serves malloc: there is no call that could be made"};
}

}  // namespace sonde
