// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_wall.h"

namespace sonde::life {
namespace {

// What was loaded since the last look is known at the next one.
class Capture final : public WallCapture {
 public:
  Capture(LiveThreads* threads, uint64_t period_ns, int agent_tid)
      : threads_(threads), reader_(threads->Reader()), wall_(period_ns, agent_tid) {}

  uint64_t Observe(uint64_t now_ns) override {
    threads_->KnowCode();
    return wall_.Observe(now_ns, &reader_);
  }
  const Wall& Finish(uint64_t now_ns) override {
    Observe(now_ns);
    wall_.Finish();
    return wall_;
  }

 private:
  LiveThreads* threads_;
  ThreadReader reader_;
  Wall wall_;
};

}  // namespace

std::unique_ptr<WallCapture> LiveWall::OpenWall(uint64_t period_ns) {
  return std::make_unique<Capture>(threads_, period_ns, agent_tid_);
}

}  // namespace sonde::life
