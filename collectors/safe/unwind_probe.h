// SPDX-License-Identifier: Apache-2.0
// Asks the kernel whether memory can be read, without a fault and without a signal handler.
#pragma once

#include <stdint.h>

#include "collectors/safe/sys.h"

namespace sonde {

inline constexpr uint64_t kProbePageSize = 4096;

// Whether the 8 bytes at `address`, and so the page or the two pages they lie on, can be read now.
// rt_sigprocmask with an impossible `how` copies 8 bytes in, which fails with EFAULT for no page, a
// page without read permission, and a file's page beyond its end; and else refuses with EINVAL.
// Every seccomp profile lets it through. Async-signal-safe.
inline bool WordReadable(uint64_t address) {
  constexpr int kNoSuchHow = -1;
  constexpr long kEinval = -22;
  return sys::Call(SYS_rt_sigprocmask, kNoSuchHow, address, 0L, sizeof(uint64_t)) == kEinval;
}

// Async-signal-safe.
inline bool PageReadable(uint64_t page) { return WordReadable(page); }

}  // namespace sonde
