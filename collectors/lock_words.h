// SPDX-License-Identifier: Apache-2.0
// What a thread that waits in futex() waits for, by the words of the lock: read from outside, never
// by locking. glibc's locks since 2.17; others (absl, Rust, Go, std::atomic::wait) are kOther.
//
// Agent thread only; pure but for the reads. A lock may be freed or change under the reads, so what
// matters is confirmed by a second look (detectors/deadlock.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "collectors/readable_memory.h"
#include "collectors/task_files.h"

namespace sonde {

enum class LockKind : uint8_t {
  kNone,  // no futex wait
  kMutex,
  kReadWriteLock,
  kCondition,
  kSemaphore,
  kJoin,
  kBarrier,
  kOther,
};

struct LockWait {
  LockKind kind = LockKind::kNone;
  uint64_t object = 0;   // its address
  int owner = 0;         // tid of who holds it, or of the thread that is joined; 0: not known
  bool writes = false;   // kReadWriteLock: wants it alone
  bool timed = false;    // it will give up by itself
  int ended_owner = 0;   // tid of who held it when it ended: nobody will ever unlock it
  uint32_t readers = 0;  // kReadWriteLock: how many read now; the lock does not know who
};

// `functions` are the names of the first frames, leaf first; unknown ones are empty.
LockWait DecodeLockWait(const ReadableMemory& memory, const WhereItWaits& where,
                        const std::vector<std::string_view>& functions,
                        const std::function<bool(int tid)>& is_thread);

// What a function of libc waits for, by its name; kOther: it is none of those.
LockKind LockKindOfFunction(std::string_view name);

// "mutex", "condition variable" …
const char* LockKindName(LockKind kind);

}  // namespace sonde
