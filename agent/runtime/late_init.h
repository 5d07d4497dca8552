// SPDX-License-Identifier: Apache-2.0
// The static constructors of the C++ library that is linked into libsonde.so, run when the agent
// starts instead of in every process that is preloaded (12 µs of start-up: cmake/preload.cmake).
// Agent thread, before anything else.
#pragma once

namespace sonde::runtime {

// Once a process image; later calls, also in a forked child, do nothing.
void RunLateInit();

}  // namespace sonde::runtime
