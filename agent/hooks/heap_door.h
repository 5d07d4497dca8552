// SPDX-License-Identifier: Apache-2.0
// The allocation functions that serve the host, each behind a pointer that an exported function of
// ours ends with a jump through, so no frame of ours is on the host's stack.
//
// Constant-initialised, so it works before any constructor: in the loader, in preinit functions, in
// constructors of other libraries. Any thread. No memory.
#pragma once

#include <atomic>

#include "agent/hooks/host_allocator.h"

namespace sonde::hooks {

template <typename Function>
struct HeapDoor {
  // The next definition; at the start, a function of ours that looks it up and calls on.
  std::atomic<Function*> host;

  // Malloc-safe: may not allocate or block. All threads find the same, so it does not matter which
  // one does it. The next definition, or a stand-in.
  Function* Open(const char* name, Function* stand_in, const char* version = nullptr) {
    Function* found = reinterpret_cast<Function*>(HostAllocator(name, version));
    if (found == nullptr) found = stand_in;
    host.store(found, std::memory_order_release);
    return found;
  }

  // Malloc-safe: may not allocate or block.
  Function* Host() const { return host.load(std::memory_order_relaxed); }
};

}  // namespace sonde::hooks
