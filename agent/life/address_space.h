// SPDX-License-Identifier: Apache-2.0
// Whether a host with limited address space can spare ours. Any thread; three system calls.
#pragma once

#include <cstdint>

namespace sonde::life {

// With RLIMIT_AS or RLIMIT_DATA set, so much must be left: several times what the agent maps.
inline constexpr uint64_t kHeadroomBytes = uint64_t{128} << 20;

bool HasAddressSpace();

}  // namespace sonde::life
