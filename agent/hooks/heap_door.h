// SPDX-License-Identifier: Apache-2.0
// How an allocation function is hooked. Its exported name does nothing but jump to where its door
// leads: one load and one jump, whatever the agent does.
//
//   start     ──► a function that looks the host's own up, opens the door, and calls on
//   off       ──► the host's own
//   counting  ──► ours, which counts down and jumps on to the host's own
//
// Constant-initialised, so it works before any constructor: in the loader, in preinit functions, in
// constructors of other libraries. Any thread. No memory.
#pragma once

#include <atomic>

#include "agent/runtime/resolve.h"

namespace sonde::hooks {

template <typename Function>
struct HeapDoor {
  std::atomic<Function*> to;    // what the exported function jumps to
  std::atomic<Function*> host;  // the next definition, or a stand-in; null until looked up

  // Malloc-safe: may not allocate or block. Opens the door if it is still as at the start. All
  // threads find the same, so it does not matter which one does it.
  Function* Open(const char* name, Function* at_start, Function* stand_in,
                 const char* version = nullptr) {
    Function* found = reinterpret_cast<Function*>(runtime::NextSymbol(name, version));
    if (found == nullptr) found = stand_in;
    host.store(found, std::memory_order_release);
    to.compare_exchange_strong(at_start, found, std::memory_order_acq_rel);
    return found;
  }

  // Malloc-safe: may not allocate or block. Only after Open.
  Function* Host() const { return host.load(std::memory_order_relaxed); }

  // Cold path only. After Open.
  void Count(Function* counting) { to.store(counting, std::memory_order_release); }
  void Forward() { to.store(Host(), std::memory_order_release); }
};

}  // namespace sonde::hooks
