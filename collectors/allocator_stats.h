// SPDX-License-Identifier: Apache-2.0
// What an allocator says of itself, by its own interface. Agent thread only, on request only.
//
// What asking costs the host. The function runs on the agent's thread inside the host's allocator:
//   jemalloc     mallctl: the thread gets a thread-local block and a cache of its own (about 30
//   KiB,
//                given back when the thread ends), `epoch` takes each arena's statistics locks one
//                after the other, for microseconds.
//   gperftools   takes the page heap's lock and each size class's, one after the other, for
//                microseconds; the thread gets no cache, because it allocates nothing.
//   mimalloc     adds up counters; no lock. It tells what is committed, not what is given out.
//   glibc        is not asked: allocator_glibc.h
#pragma once

#include <stdint.h>

#include "collectors/allocator_detect.h"
#include "collectors/memory_page.h"

namespace sonde {

// Only for one whose `statistics` is not 0, and that cannot be unloaded: the one that serves
// malloc, or one in the program itself. Throws std::bad_alloc. Cold path only.
AllocatorNumbers AskAllocator(const DetectedAllocator& allocator);

}  // namespace sonde
