// SPDX-License-Identifier: Apache-2.0
// Finds out what own_stack.h needs: where the main thread's stack ends, and where glibc notes a
// thread's stack in the thread's descriptor. Called once by the agent thread. No memory.
#pragma once

#include "collectors/process_memory.h"
#include "collectors/safe/own_stack.h"

namespace sonde {

// What cannot be found out for certain is left at 0. The place in the descriptor can be found only
// on a thread that glibc has made, in its own descriptor. Cold path only.
StackLayout FindStackLayout(const ProcessMemory& memory);

}  // namespace sonde
