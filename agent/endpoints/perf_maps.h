// SPDX-License-Identifier: Apache-2.0
// Where the perf map of a process of this tree is (profile/perf_map.h). Agent thread only. Memory:
// none.
#pragma once

#include <memory>

#include "profile/byte_source.h"
#include "profile/result.h"

namespace sonde {

// `own_pid` is the agent's process.
Result<std::unique_ptr<ByteSource>> OpenPerfMapOf(int pid, int own_pid);

}  // namespace sonde
