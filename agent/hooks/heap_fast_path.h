// SPDX-License-Identifier: Apache-2.0
// The allocator's own fast path inside our malloc and free, where the allocator is ours:
// libsonde-tcmalloc.so (SONDE_FAST_PATH). A block from and to the thread's cache, without a jump to
// a second function. In libsonde.so, these do nothing and cost nothing.
//
// Malloc-safe: may not allocate or block; any thread.
#pragma once

#include <stddef.h>

#ifdef SONDE_FAST_PATH
#include "agent/tcmalloc/fast_path.h"
#else
namespace sonde::hooks {
struct FastPath {
  explicit operator bool() const { return false; }
};
inline FastPath FastAllocation(size_t) { return {}; }
inline FastPath FastRelease(const void*) { return {}; }
inline void* Allocate(const FastPath&) { return nullptr; }
inline void Release(const FastPath&, void*) {}
}  // namespace sonde::hooks
#endif
