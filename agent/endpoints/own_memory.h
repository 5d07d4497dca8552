// SPDX-License-Identifier: Apache-2.0
// Reads this process's memory so that a bad address is an error, never a fault: through
// /proc/self/mem. For the vdso and for files that were replaced after they were mapped. Agent
// thread only; one descriptor.
#pragma once

#include "profile/byte_source.h"

namespace sonde {

// Every read fails where the kernel does not permit it (a service that made itself undumpable).
MemoryReader OwnMemoryReader();

}  // namespace sonde
