// SPDX-License-Identifier: Apache-2.0
// Whether a process has ended: gone, a zombie that nobody has collected yet, or a pid that is
// somebody else's by now. A process of another user is alive. Raw system calls only; agent thread,
// or a hook's slow path.
#pragma once

#include <cstdint>

namespace sonde::life {

bool ProcessHasEnded(int pid, uint64_t start_ticks);

}  // namespace sonde::life
