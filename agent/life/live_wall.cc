// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_wall.h"

#include <algorithm>

#include "agent/life/self.h"
#include "agent/life/tree.h"
#include "agent/life/wall_clock.h"
#include "agent/life/wall_of_children.h"
#include "collectors/cpu_names.h"
#include "recording/cpu_window_maker.h"

namespace sonde::life {
namespace {

// What was loaded since the last look is known at the next one.
class Capture final : public WallCapture {
 public:
  Capture(CpuCollector* cpu, LiveThreads* threads, uint64_t period_ns, int agent_tid)
      : threads_(threads),
        reader_(threads->Reader()),
        wall_(period_ns, agent_tid),
        children_(cpu, period_ns) {}

  uint64_t Observe(uint64_t now_ns) override {
    const CpuMeter meter(&agent_cpu_ns_);
    threads_->KnowCode();
    const uint64_t next_ns = wall_.Observe(now_ns, &reader_);
    children_.Observe(now_ns);
    return std::max(next_ns, now_ns + meter.AffordableNs(Wall::kCpuShare));
  }
  std::vector<WallProcess> Finish(uint64_t now_ns) override {
    Observe(now_ns);
    wall_.Finish();
    children_.Finish();
    std::vector<WallProcess> all = {{g_self.pid, &wall_}};
    children_.ForEach([&](int pid, Wall* wall) { all.push_back({pid, wall}); });
    return all;
  }
  uint64_t agent_cpu_ns() const override { return agent_cpu_ns_; }
  std::vector<std::string> NotLookedAt() const override { return children_.NotLookedAt(); }

 private:
  LiveThreads* threads_;
  ThreadReader reader_;
  Wall wall_;
  WallOfChildren children_;
  uint64_t agent_cpu_ns_ = 0;
};

}  // namespace

std::unique_ptr<WallCapture> LiveWall::OpenWall(uint64_t period_ns) {
  return std::make_unique<Capture>(cpu_, threads_, period_ns, agent_tid_);
}

void LiveWall::Configure(const char* why_off, uint64_t now_ns) {
  why_off_ = why_off;
  recorder_.Configure(why_off == nullptr, now_ns);
  recorder_.Tick(now_ns);
}

// Of a stack that was in several steps there are several samples, which the builder adds up.
WallPast LiveWall::ReadPast(int64_t from_unix_ns, int64_t to_unix_ns) {
  WallPast answer;
  const sonde::Past past =
      recording_->PastCounts(MonotonicOf(from_unix_ns), MonotonicOf(to_unix_ns));
  answer.window = TimesOf(past, UtcOffset());
  if (const auto since_ns = recorder_.since_ns()) answer.since_unix_ms = UnixMsOf(*since_ns);
  for (const FoldProfile& piece : past.pieces) {
    for (const FoldSample& from : piece.samples) {
      if (from.kind != Kind::kOffCpu) continue;
      WallPastSample& sample = answer.samples.emplace_back();
      sample.synthetic_leaf = LeafNameOf(from.frames[0]);
      if (sample.synthetic_leaf.empty()) sample.frames = from.frames;
      sample.thread_name = from.thread.name;
      sample.pid = from.thread.pid;
      sample.tid = from.thread.tid;
      sample.number = SystemCallOf(from.flags);
      sample.looks = static_cast<int64_t>(from.events);
      sample.ns = static_cast<int64_t>(from.amount);
    }
    for (const FoldLoss& loss : piece.losses) {
      if (loss.kind != Kind::kOffCpu) continue;
      WallPastSample& sample = answer.samples.emplace_back();
      sample.synthetic_leaf = LeafNameOf(loss);
      sample.pid = g_self.pid;
      sample.looks = static_cast<int64_t>(loss.events);
      sample.ns = static_cast<int64_t>(loss.amount);
    }
  }
  return answer;
}

}  // namespace sonde::life
