// SPDX-License-Identifier: Apache-2.0
// A wait for a lock, condition, semaphore or thread that has begun and not ended, as it is read
// from outside: by the note that a measuring hook left on the waiter's stack (safe/wait_note.h),
// or, of a wait that no hook measures because it began before, by libc's functions on its stack.
//
// Agent thread only; pure but for one read of the waiter's stack. Memory: none of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "collectors/readable_memory.h"
#include "collectors/safe/region_layout.h"
#include "collectors/thread_reader.h"

namespace sonde {

struct OpenWait {
  Kind kind = Kind::kNone;       // kWaitMutex and the like
  uint64_t since_ns = 0;         // CLOCK_MONOTONIC; of one that is not measured: not known, 0
  bool measured = false;         // a hook counts it when it ends
  std::vector<uint64_t> frames;  // return addresses from the hook's caller on, leaf first
};

// `waiter` was read while it waited. `functions` are libc's own names of its first frames, leaf
// first; unknown ones are empty. Nothing: it does not wait for another thread.
std::optional<OpenWait> OpenWaitOf(const ReadableMemory& memory, const ThreadRecord& waiter,
                                   const std::vector<std::string_view>& functions);

}  // namespace sonde
