// SPDX-License-Identifier: Apache-2.0
// tcmalloc's fast path, to be inlined into the exported malloc and free: agent/hooks/heap.cc,
// through agent/hooks/heap_fast_path.h. A thread has a cache only where this allocator serves and
// the thread has come by the slow path once, so a test for null tells both.
#pragma once

#include <config.h>
#include <gperftools/malloc_extension.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <new>
#include <set>

// Calls within the library need no look into the global offset table. What these include of others
// stands above: libc's functions are not hidden.
#pragma GCC visibility push(hidden)
#include "page_heap.h"
#include "static_vars.h"
#include "thread_cache.h"
#pragma GCC visibility pop

namespace sonde::tcmalloc {

// Sets errno; never called for a block that there is memory for.
void* OutOfMemory(size_t size);

}  // namespace sonde::tcmalloc

namespace sonde::hooks {

struct FastPath {
  ::tcmalloc::ThreadCache* cache;
  uint32_t size_class;
  explicit operator bool() const { return cache != nullptr; }
};

// Malloc-safe: may not allocate or block.
__attribute__((always_inline)) inline FastPath FastAllocation(size_t size) {
  FastPath path = {::tcmalloc::ThreadCache::GetFastPathCache(), 0};
  if (path.cache != nullptr && !::tcmalloc::Static::sizemap()->GetSizeClass(size, &path.size_class))
      [[unlikely]]
    path.cache = nullptr;
  return path;
}

// Malloc-safe: may not allocate or block. A page that is not in the index's cache is the slow
// path's, and so is null.
__attribute__((always_inline)) inline FastPath FastRelease(const void* block) {
  FastPath path = {::tcmalloc::ThreadCache::GetFastPathCache(), 0};
  const uintptr_t page = reinterpret_cast<uintptr_t>(block) >> kPageShift;
  if (path.cache != nullptr &&
      !::tcmalloc::Static::pageheap()->TryGetSizeClass(page, &path.size_class)) [[unlikely]]
    path.cache = nullptr;
  return path;
}

// The thread's list may be empty or too long: then tcmalloc's own functions go on, by a jump.
__attribute__((always_inline)) inline void* Allocate(const FastPath& path) {
  return path.cache->Allocate(0, path.size_class, tcmalloc::OutOfMemory);
}
__attribute__((always_inline)) inline void Release(const FastPath& path, void* block) {
  path.cache->Deallocate(block, path.size_class);
}

}  // namespace sonde::hooks
