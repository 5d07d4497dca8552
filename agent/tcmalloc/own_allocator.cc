// SPDX-License-Identifier: Apache-2.0
// What the agent's endpoints learn of the allocator in libsonde-tcmalloc.so.
#include "collectors/own_allocator.h"

#include <algorithm>

#include "agent/tcmalloc/allocator.h"

namespace sonde::tcmalloc {
namespace {

AllocatorNumbers Ask() {
  const Statistics heap = GetStatistics();
  AllocatorNumbers out;
  out.name = "sonde-tcmalloc";
  out.resident = heap.mapped - std::min(heap.mapped, heap.returned) + heap.records;
  out.in_use = heap.given_out;
  out.free = heap.cached + heap.pages;
  out.how = "its own count";
  out.counted = true;
  return out;
}

}  // namespace
}  // namespace sonde::tcmalloc

// For agent/life.
extern "C" __attribute__((visibility("hidden"))) void SondeOwnAllocator(sonde::OwnAllocator* out) {
  *out = {};
  if (!sonde::tcmalloc::Serving()) return;
  *out = {.serves = true, .ask = sonde::tcmalloc::Ask, .release = sonde::tcmalloc::ReleaseAtLeast};
}
