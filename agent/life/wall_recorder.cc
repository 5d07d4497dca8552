// SPDX-License-Identifier: Apache-2.0
#include "agent/life/wall_recorder.h"

#include <algorithm>
#include <span>
#include <string>

#include "agent/life/self.h"
#include "collectors/safe/cpu_handler.h"
#include "collectors/safe/stack_table.h"
#include "collectors/thread_reader.h"

namespace sonde::life {
namespace {

// Where a sample of CPU time says how its walk ended, this says in which system call it waited.
uint16_t FlagsOf(int number) {
  return number >= 0 && number < UINT16_MAX ? static_cast<uint16_t>(number + 1) : uint16_t{0};
}

FoldThread ThreadOf(int pid, int tid, const std::string& name) {
  constexpr uint32_t kNoSlot = uint32_t{1} << 31;  // of the table of threads, which has far fewer
  FoldThread thread;
  thread.pid = pid;
  thread.tid = tid;
  thread.slot = static_cast<uint32_t>(tid) | kNoSlot;
  name.copy(thread.name, sizeof thread.name - 1);
  return thread;
}

}  // namespace

int SystemCallOf(uint16_t flags) { return static_cast<int>(flags) - 1; }

void WallRecorder::Configure(bool on, uint64_t now_ns) {
  if (on == wall_.has_value()) return;
  wall_.reset();
  children_.reset();
  if (!on) return;
  wall_.emplace(kPeriodNs, agent_tid_, kMaxStacks);
  children_.emplace(cpu_, kPeriodNs);
  since_ns_ = next_ns_ = now_ns;
}

std::optional<uint64_t> WallRecorder::since_ns() const {
  return wall_ ? std::optional(since_ns_) : std::nullopt;
}

void WallRecorder::Record(int pid, int tid, const WallThread& thread) {
  FoldDelta delta;
  delta.thread = ThreadOf(pid, tid, thread.name);
  delta.kind = Kind::kOffCpu;
  const auto hand_over = [&](std::span<const uint64_t> frames, int number, const WallWait& wait) {
    if (wait.ns == 0) return;
    delta.frames = frames.first(std::min<size_t>(frames.size(), kMaxDepth));
    delta.flags = FlagsOf(number);
    delta.hash =
        HashStack({delta.frames.data(), static_cast<uint32_t>(delta.frames.size()), delta.flags});
    delta.events = wait.looks;
    delta.amount = wait.ns;
    sink_->OnDelta(delta);
  };
  const auto unread = static_cast<uint64_t>(SyntheticFrame::kWaitUnread);
  const auto unseen = static_cast<uint64_t>(SyntheticFrame::kWaitUnseen);
  for (const auto& [place, wait] : thread.waits) {
    const bool is_read = !place.second.empty();
    hand_over(is_read ? std::span<const uint64_t>(place.second) : std::span(&unread, 1),
              place.first, wait);
  }
  hand_over(std::span(&unseen, 1), -1, {0, thread.unseen_ns});
}

void WallRecorder::Tick(uint64_t now_ns) {
  if (!wall_ || now_ns < next_ns_) return;
  uint64_t cost_ns = 0;
  const CpuMeter meter(&cost_ns);
  threads_->KnowCode();
  ThreadReader reader = threads_->Reader();
  next_ns_ = wall_->Observe(now_ns, &reader);
  children_->Observe(now_ns);
  const auto drain = [this](int pid, Wall* wall) {
    wall->Drain([&](int tid, const WallThread& thread) { Record(pid, tid, thread); });
  };
  drain(g_self.pid, &*wall_);
  children_->ForEach(drain);
  children_->ForgetEnded();
  next_ns_ = std::max(next_ns_, now_ns + meter.AffordableNs(Wall::kCpuShare));
}

}  // namespace sonde::life
