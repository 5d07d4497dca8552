// SPDX-License-Identifier: Apache-2.0
// From a frozen process to the dump that the agent would give: stacks walked and named, grouped,
// with what each thread waits for. Same JSON as /debug/sonde/threads. Memory: see
// remote_unwinder.h, profile/symbolizer.h.
#pragma once

#include <nlohmann/json.hpp>

#include "cli/stacks/frozen_process.h"

namespace sonde::cli {

// `lives`: its descriptors and sockets can be looked up.
nlohmann::json DumpOf(FrozenProcess process, bool lives);

}  // namespace sonde::cli
