// SPDX-License-Identifier: Apache-2.0
// Which waits have gone on for too long. Pure; no memory.
//
// Most threads of a healthy service wait for hours: for work. What counts here is waiting for what
// others should give soon: a lock, the disk, a CPU.
#pragma once

#include <cstdint>

namespace sonde {

enum class WaitClass : uint8_t {
  kForWork,          // poll, read, accept, condition variables, sleep …: may last
  kLock,             // a mutex, a read-write lock, a file lock
  kUninterruptible,  // in the kernel: mostly storage
  kForCpu,           // ready to run, and does not
};

struct StuckOptions {
  uint64_t after_ns = 60'000'000'000;
};

struct WaitSeen {
  WaitClass wait = WaitClass::kForWork;
  uint64_t waits_ns = 0;  // without having run once
  bool timed = false;     // it ends by itself
};

bool IsStuck(const WaitSeen& seen, const StuckOptions& options);

}  // namespace sonde
