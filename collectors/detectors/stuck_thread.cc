// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/stuck_thread.h"

namespace sonde {

bool IsStuck(const WaitSeen& seen, const StuckOptions& options) {
  return seen.wait != WaitClass::kForWork && !seen.timed && seen.waits_ns >= options.after_ns;
}

}  // namespace sonde
