// SPDX-License-Identifier: Apache-2.0
// Which stack made which thread, for the threads that live now: tid → hash of the creating stack,
// whose frames the cold side knows by the fold (Kind::kThread). One table for the process tree, in
// memory that its processes share. Where threads are made by the thousand only some are entered;
// each says for how many it stands.
//
// A new thread enters itself; it cannot say when it ends. So who finds no free place asks the
// kernel which of the threads in the way are gone (tgkill with signal 0, which is sent to nobody),
// and the cold side does the same now and then. Thread-safety: lock-free, bounded. Memory: kSlots ×
// 16 bytes; zeros are an empty table.
#pragma once

#include <stdint.h>

#include "collectors/safe/region_atomic.h"

namespace sonde {

struct ThreadOrigins {
  static constexpr uint32_t kSlots = 4096;
  static constexpr uint32_t kWays = 8;  // places that a tid may have: two cache lines

  // The lowest bit of `who` is set while the entry is being written. Linux has no pid above 2^22.
  struct Slot {
    Shared<uint64_t> who;    // pid:29 | tid:29 | log2 of weight:5 | writing:1; 0: free
    Shared<uint64_t> stack;  // hash, of HookStack
  };
  Slot slots[kSlots];
  Shared<uint64_t> lost;  // threads that found no place
};

// A copy of an entry.
struct ThreadOrigin {
  int32_t pid = 0;
  int32_t tid = 0;
  uint64_t stack = 0;
  uint32_t weight = 1;  // threads that it stands for
};

// Malloc-safe: may not allocate or block. First thing in a new thread. `weight`: a power of two.
void EnterThreadOrigin(ThreadOrigins* origins, int32_t pid, int32_t tid, uint64_t stack,
                       uint32_t weight = 1);

// Cold path only. The hash of the stack that made this thread; 0: unknown.
uint64_t FindThreadOrigin(ThreadOrigins* origins, int32_t pid, int32_t tid);

// Cold path only. One slot: frees it when its thread is gone, else copies it out. False: there is
// nothing.
bool SweepThreadOrigin(ThreadOrigins* origins, uint32_t slot, ThreadOrigin* out);

}  // namespace sonde
