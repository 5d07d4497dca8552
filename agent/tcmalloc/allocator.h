// SPDX-License-Identifier: Apache-2.0
// gperftools' tcmalloc as libsonde-tcmalloc.so has it: hidden, without samples, hooks, settings and
// reports of its own. What it does for a process is decided once, by Serving(): it stands in for
// glibc's malloc and for nobody else's, so a service that brings an allocator keeps it, and no
// block ever comes to an allocator that does not know it: one that is not ours goes on to libc,
// which had it made (a plug-in opened with RTLD_DEEPBIND, __libc_malloc).
//
// Called by the hooks, in any thread, from the loader's own calls before main until after exit, and
// in fork children (its locks are taken around fork). Not async-signal-safe, as no malloc is.
// errno is set on failure only. Memory: 0.7 MiB a process; per thread a cache of at most 4 MiB, all
// caches together 32 MiB; under a limit of the address space it fails as malloc does: what it needs
// for its own records is reserved before a heap page is given out (system.cc).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sonde::tcmalloc {

// Malloc-safe: may not allocate or block. Whether this process's malloc is ours. The first call
// decides; a child of fork keeps to it.
bool Serving();

// As the C functions of these names. Only where Serving().
void* Malloc(size_t size) noexcept;
void* Calloc(size_t count, size_t size) noexcept;
void* Realloc(void* block, size_t size) noexcept;
void* Reallocarray(void* block, size_t count, size_t size) noexcept;
void* Memalign(size_t alignment, size_t size) noexcept;
int PosixMemalign(void** block, size_t alignment, size_t size) noexcept;
void* Valloc(size_t size) noexcept;
void* Pvalloc(size_t size) noexcept;
void Free(void* block) noexcept;
void FreeSized(void* block, size_t size) noexcept;
void FreeAlignedSized(void* block, size_t alignment, size_t size) noexcept;
size_t UsableSize(void* block) noexcept;

// Bytes.
struct Statistics {
  uint64_t mapped = 0;  // of the address space, for blocks
  uint64_t given_out = 0;
  uint64_t cached = 0;    // freed, in the caches of threads and size classes
  uint64_t pages = 0;     // freed, whole pages, in memory
  uint64_t returned = 0;  // of `mapped`, given back to the system
  uint64_t records = 0;   // of the allocator's own
};
// Cold path only. Takes each lock of the allocator once, for microseconds.
Statistics GetStatistics();

// Cold path only. Gives back whole free pages, at least so many bytes if there are; holds the page
// heap's lock meanwhile. Returns how many.
uint64_t ReleaseAtLeast(uint64_t bytes);

}  // namespace sonde::tcmalloc
