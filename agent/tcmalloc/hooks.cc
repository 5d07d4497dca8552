// SPDX-License-Identifier: Apache-2.0
// What libsonde-tcmalloc.so exports beyond libsonde.so: agent/tcmalloc/hook_list.inc. Where another
// allocator serves, each goes on to the next definition.
#include <malloc.h>
#include <stdlib.h>

#include <algorithm>
#include <limits>

#include "agent/hooks/heap_door.h"
#include "agent/hooks/hook.h"
#include "agent/hooks/versions.h"
#include "agent/runtime/resolve.h"
#include "agent/tcmalloc/allocator.h"

// NOLINTBEGIN(bugprone-reserved-identifier): libc's names.
extern "C" {
// The hooks of agent/hooks/heap.cc: a sampled block may come here, too. (The names themselves mean
// the agent's own arena in here.)
__attribute__((visibility("hidden"))) void SondeFree(void*) noexcept;
__attribute__((visibility("hidden"))) void* SondeRealloc(void*, size_t) noexcept;
void __libc_free(void*) noexcept;
void* __libc_realloc(void*, size_t) noexcept;
// What mallinfo2 returns, for headers that lack it (glibc before 2.33): struct mallinfo with size_t
// for int.
struct SondeMallinfo2 {
  size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
}

namespace {

using sonde::runtime::NextSymbol;
using sonde::tcmalloc::Serving;

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(NextSymbol(name));
}

size_t StartUsableSize(void* block) noexcept;
constinit sonde::hooks::HeapDoor<decltype(malloc_usable_size)> g_usable_size{StartUsableSize};

size_t NoUsableSize(void*) noexcept { return 0; }

// Some services ask for each block.
size_t StartUsableSize(void* block) noexcept {
  return g_usable_size.Open("malloc_usable_size", NoUsableSize)(block);
}

// In libc's terms: from the system, given out, free.
SondeMallinfo2 Describe() {
  const sonde::tcmalloc::Statistics heap = sonde::tcmalloc::GetStatistics();
  SondeMallinfo2 info = {};
  info.arena = heap.mapped;
  info.uordblks = heap.given_out;
  info.fordblks = heap.mapped - std::min(heap.mapped, heap.given_out);
  info.fsmblks = heap.cached;
  info.keepcost = heap.pages;
  return info;
}

// libc's wraps above 2 GiB; the largest number is nearer to the truth.
int Narrow(size_t number) {
  return static_cast<int>(std::min<size_t>(number, std::numeric_limits<int>::max()));
}

}  // namespace

SONDE_EXPORT size_t malloc_usable_size(void* block) noexcept { return g_usable_size.Host()(block); }

SONDE_EXPORT int malloc_trim(size_t pad) noexcept {
  if (Serving()) {
    const uint64_t free_bytes = sonde::tcmalloc::GetStatistics().pages;
    return free_bytes > pad && sonde::tcmalloc::ReleaseAtLeast(free_bytes - pad) != 0 ? 1 : 0;
  }
  auto* const next = Next<decltype(malloc_trim)>("malloc_trim");
  return next != nullptr ? next(pad) : 0;
}

SONDE_EXPORT struct mallinfo mallinfo() noexcept {
  struct mallinfo out = {};
  if (!Serving()) {
    auto* const next = Next<struct mallinfo()>("mallinfo");
    return next != nullptr ? next() : out;
  }
  const SondeMallinfo2 info = Describe();
  out.arena = Narrow(info.arena);
  out.uordblks = Narrow(info.uordblks);
  out.fordblks = Narrow(info.fordblks);
  out.fsmblks = Narrow(info.fsmblks);
  out.keepcost = Narrow(info.keepcost);
  return out;
}

SONDE_EXPORT SondeMallinfo2 SondeMallinfo2Of() noexcept __asm__("mallinfo2");
SONDE_EXPORT SondeMallinfo2 SondeMallinfo2Of() noexcept {
  if (Serving()) return Describe();
  auto* const next = Next<SondeMallinfo2()>("mallinfo2");
  return next != nullptr ? next() : SondeMallinfo2{};
}
SONDE_EXPORT_AS_ONE(mallinfo2, "GLIBC_2.33");

SONDE_EXPORT void __libc_free(void* block) noexcept {
  if (Serving()) return SondeFree(block);
  if (auto* const next = Next<decltype(__libc_free)>("__libc_free")) next(block);
}

SONDE_EXPORT void* __libc_realloc(void* block, size_t size) noexcept {
  if (Serving()) return SondeRealloc(block, size);
  auto* const next = Next<decltype(__libc_realloc)>("__libc_realloc");
  return next != nullptr ? next(block, size) : nullptr;
}
// NOLINTEND(bugprone-reserved-identifier)
