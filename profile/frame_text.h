// SPDX-License-Identifier: Apache-2.0
// One frame of a stack in words, the same in the agent's dumps and findings and in the command's.
// Pure function.
#pragma once

#include <cstdint>
#include <string>

#include "profile/mappings.h"
#include "profile/symbolizer.h"

namespace sonde {

// "epoll_wait+0x1e"; of a function without a name where it begins, "libfoo.so+0x1a2b", as profiles
// call it (profile/unnamed.h); where that is unknown the address itself, as addr2line takes it.
std::string FrameText(const Symbol& symbol, const Mapping& mapping, uint64_t address);

// What FrameText adds to a function's name; for one without a name the address in the module.
uint64_t FrameOffset(const Symbol& symbol, const Mapping& mapping, uint64_t address);

}  // namespace sonde
