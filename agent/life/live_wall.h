// SPDX-License-Identifier: Apache-2.0
// Opens wall-clock captures of this process. Agent thread only.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/endpoints/wall_source.h"
#include "agent/life/live_threads.h"

namespace sonde::life {

class LiveWall final : public WallSource {
 public:
  LiveWall(LiveThreads* threads, int agent_tid) : threads_(threads), agent_tid_(agent_tid) {}
  [[nodiscard]] std::unique_ptr<WallCapture> OpenWall(uint64_t period_ns) override;

 private:
  LiveThreads* threads_;
  const int agent_tid_;
};

}  // namespace sonde::life
