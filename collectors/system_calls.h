// SPDX-License-Identifier: Apache-2.0
// Names of system calls, and what their arguments say about what a thread waits for. Pure;
// thread-safe; constants only.
#pragma once

#include <cstdint>
#include <string>

namespace sonde {

enum class WaitArgument : uint8_t {
  kNothing,
  kFd,          // the first argument is a descriptor
  kFutex,       // address, operation, value, timeout
  kSleep,       // the first argument points to a timespec
  kClockSleep,  // the third one does; the second says whether it is a point in time
  kPollSet,     // pollfd array, and how many
  kSelectSet,   // how many descriptors, three sets
  kProcess,     // the first argument is a pid
  kWaitId,      // kind of id, id
  kIpcId,       // the first argument is a System V id
};

struct SystemCall {
  const char* name = nullptr;  // null: newer than this list
  WaitArgument argument = WaitArgument::kNothing;
};

SystemCall SystemCallOf(int number);

// "futex", or "system call 999".
std::string SystemCallName(int number);

}  // namespace sonde
