// SPDX-License-Identifier: Apache-2.0
// What the endpoint may ask for a wall-clock profile; agent/life implements it, tests over their
// own process. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "collectors/wall.h"

namespace sonde {

// All threads of the process, from the opening on.
class WallCapture {
 public:
  virtual ~WallCapture() = default;
  // Looks at them; CLOCK_MONOTONIC of when it is to be called again.
  virtual uint64_t Observe(uint64_t now_ns) = 0;
  // The last look.
  virtual const Wall& Finish(uint64_t now_ns) = 0;
};

class WallSource {
 public:
  virtual ~WallSource() = default;
  [[nodiscard]] virtual std::unique_ptr<WallCapture> OpenWall(uint64_t period_ns) = 0;
};

}  // namespace sonde
