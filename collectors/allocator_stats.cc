// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_stats.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace sonde {
namespace {

// The interfaces as their manuals give them.
using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);
using GperftoolsProperty = int (*)(const char*, size_t*);
using GoogleProperty = bool (*)(const char*, size_t, size_t*);
using MimallocProcess = void (*)(size_t*, size_t*, size_t*, size_t*, size_t*, size_t*, size_t*,
                                 size_t*);

template <typename Function>
Function At(uint64_t address) {
  return reinterpret_cast<Function>(address);
}

std::optional<size_t> ReadCtl(Mallctl mallctl, const char* name) {
  size_t value = 0;
  size_t size = sizeof(value);
  if (mallctl(name, &value, &size, nullptr, 0) != 0 || size != sizeof(value)) return std::nullopt;
  return value;
}

// active: whole pages of what is given out; resident: those, what is kept, and metadata.
void AskJemalloc(Mallctl mallctl, AllocatorNumbers* out) {
  uint64_t epoch = 1;
  size_t size = sizeof(epoch);
  mallctl("epoch", &epoch, &size, &epoch, sizeof(epoch));
  const auto allocated = ReadCtl(mallctl, "stats.allocated");
  const auto active = ReadCtl(mallctl, "stats.active");
  const auto resident = ReadCtl(mallctl, "stats.resident");
  const auto metadata = ReadCtl(mallctl, "stats.metadata");
  if (!allocated || !active || !resident || !metadata) {
    out->problem = "this jemalloc was built without statistics";
    return;
  }
  const char* version = nullptr;
  size = sizeof(version);
  if (mallctl("version", &version, &size, nullptr, 0) == 0 && version != nullptr)
    out->name = "jemalloc " + std::string(version).substr(0, std::string_view(version).find('-'));
  out->resident = *resident;
  out->in_use = *allocated;
  out->free = *resident - std::min(*resident, *active + *metadata);
  out->how = "mallctl";
  out->counted = true;
}

template <typename Ask>
void AskTcmalloc(const Ask& ask, AllocatorNumbers* out) {
  const auto in_use = ask("generic.current_allocated_bytes");
  const auto heap = ask("generic.heap_size");
  const auto unmapped = ask("tcmalloc.pageheap_unmapped_bytes");
  if (!in_use || !heap) {
    out->problem = "this tcmalloc does not tell its numbers";
    return;
  }
  const auto physical = ask("generic.total_physical_bytes");
  out->resident = physical.value_or(*heap - std::min(*heap, unmapped.value_or(0)));
  out->in_use = *in_use;
  for (const char* name :
       {"tcmalloc.pageheap_free_bytes", "tcmalloc.central_cache_free_bytes",
        "tcmalloc.transfer_cache_free_bytes", "tcmalloc.current_total_thread_cache_bytes"}) {
    out->free += ask(name).value_or(0);
  }
  out->how = "MallocExtension";
  out->counted = true;
}

void AskMimalloc(MimallocProcess process, AllocatorNumbers* out) {
  size_t ignored = 0, committed = 0;
  process(&ignored, &ignored, &ignored, &ignored, &ignored, &committed, &ignored, &ignored);
  if (committed == 0) {
    out->problem = "this mimalloc keeps no statistics";
    return;
  }
  out->resident = out->in_use = committed;
  out->how = "mi_process_info";
  out->problem = "mimalloc tells what it has committed, not how much of it is given out";
  out->counted = true;
}

}  // namespace

AllocatorNumbers AskAllocator(const DetectedAllocator& allocator) {
  AllocatorNumbers out;
  out.name = AllocatorKindName(allocator.kind);
  const uint64_t address = allocator.statistics;
  switch (allocator.kind) {
    case AllocatorKind::kJemalloc:
      AskJemalloc(At<Mallctl>(address), &out);
      break;
    case AllocatorKind::kGperftools:
      AskTcmalloc(
          [ask = At<GperftoolsProperty>(address)](const char* name) -> std::optional<size_t> {
            size_t value = 0;
            if (ask(name, &value) == 0) return std::nullopt;
            return value;
          },
          &out);
      break;
    case AllocatorKind::kGoogleTcmalloc:
      AskTcmalloc(
          [ask = At<GoogleProperty>(address)](const char* name) -> std::optional<size_t> {
            size_t value = 0;
            if (!ask(name, std::string_view(name).size(), &value)) return std::nullopt;
            return value;
          },
          &out);
      break;
    case AllocatorKind::kMimalloc:
      AskMimalloc(At<MimallocProcess>(address), &out);
      break;
    case AllocatorKind::kGlibc:
    case AllocatorKind::kOurs:
    case AllocatorKind::kOther:
      out.problem = "cannot be asked";
      break;
  }
  return out;
}

}  // namespace sonde
