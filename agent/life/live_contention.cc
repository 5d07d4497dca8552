// SPDX-License-Identifier: Apache-2.0
#include "agent/life/live_contention.h"

#include <time.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "agent/life/hook_switch.h"
#include "agent/life/self.h"
#include "agent/life/wall_clock.h"
#include "collectors/contention.h"
#include "collectors/safe/lock_waits.h"
#include "collectors/safe/region_file.h"
#include "recording/cpu_window_maker.h"

// Of agent/hooks: whether the locking functions measure. False: the kernel cannot hide the table
// from a child.
extern "C" __attribute__((visibility("hidden"))) bool SondeMeasureLocks(bool on);

namespace sonde::life {
namespace {

// Made once a process image and never destroyed.
constinit Contention* g_contention = nullptr;

const char* LockName(Kind kind) {
  switch (kind) {
    case Kind::kWaitMutex:
      return "mutex";
    case Kind::kWaitReadWrite:
      return "rwlock";
    case Kind::kWaitCondition:
      return "condition";
    case Kind::kWaitSemaphore:
      return "semaphore";
    case Kind::kWaitJoin:
      return "join";
    default:
      return "";
  }
}

bool IsOf(ContentionSide side, Kind kind) {
  return IsContention(kind) && (kind == Kind::kUnlock) == (side == ContentionSide::kHolders);
}

ContentionSample ToSample(const ContentionStack& from) {
  return {from.frames,
          LockName(from.kind),
          "",
          from.pid,
          static_cast<int64_t>(from.contentions),
          static_cast<int64_t>(from.delay_ns)};
}

ContentionSample ToSample(const FoldSample& from) {
  return {from.frames,
          LockName(from.kind),
          "",
          from.thread.pid,
          static_cast<int64_t>(from.events),
          static_cast<int64_t>(from.amount)};
}

// Waits that go on, by stack. A service may have thousands of threads, which stand at few of them.
class OpenSamples {
 public:
  static constexpr size_t kMaxStacks = 512;

  void Add(WaiterOfTree waiter, uint64_t delay_ns) {
    constexpr uint64_t kSpread = 0x9e3779b97f4a7c15;  // of times that differ by little
    const uint64_t id = waiter.wait.since_ns * kSpread ^ static_cast<uint64_t>(waiter.tid);
    const auto delay = static_cast<int64_t>(delay_ns);
    ContentionSample& sample =
        SampleOf(std::move(waiter.wait.frames), waiter.pid, waiter.wait.kind);
    ++sample.contentions;
    sample.delay_ns += delay;
    sample.open.push_back({id, delay, waiter.wait.measured});
  }

  void MoveTo(std::vector<ContentionSample>* out) {
    for (auto& [key, sample] : samples_) out->push_back(std::move(sample));
  }

 private:
  using Key = std::tuple<int, Kind, std::vector<uint64_t>>;

  ContentionSample& SampleOf(std::vector<uint64_t> frames, int pid, Kind kind) {
    Key key{pid, kind, std::move(frames)};
    const bool other = samples_.size() >= kMaxStacks && !samples_.contains(key);
    if (other) std::get<2>(key).clear();
    ContentionSample& sample = samples_[key];
    if (sample.open.empty()) {
      sample.frames = std::get<2>(key);
      sample.lock = LockName(kind);
      sample.pid = pid;
      if (other) sample.lost = "[other stacks]";
    }
    return sample;
  }

  std::map<Key, ContentionSample> samples_;
};

ContentionSample ToSample(const FoldLoss& loss) {
  return {{},
          LockName(loss.kind),
          std::string("[dropped: ") + DropReasonName(loss.reason) + "]",
          g_self.pid,
          static_cast<int64_t>(loss.events),
          static_cast<int64_t>(loss.amount)};
}

}  // namespace

LiveContention::~LiveContention() {
  if (reading_) cpu_->RemoveReader(g_contention);
}

void LiveContention::Configure(const char* why_off) {
  if (refused_) return;
  why_off_ = why_off;
  if (why_off == nullptr && !reading_) SwitchOn();
  // A child that took the tree over counts what its parent wanted.
  if (why_off != nullptr && (reading_ || HookCounts(HookUse::kLocks))) SwitchOff();
}

// The hooks may be measuring already: the agent thread was paused.
void LiveContention::SwitchOn() {
  const bool was_on = HookCounts(HookUse::kLocks) && g_contention != nullptr;
  if (g_contention == nullptr) g_contention = new Contention;
  if (!was_on) g_contention->Begin(MonotonicNs());
  cpu_->AddReader(g_contention, 0);
  reading_ = true;
  if (SwitchHookUse(HookUse::kLocks, true) && SondeMeasureLocks(true)) return;
  SwitchOff();
  refused_ = true;
  why_off_ = "this kernel is older than 4.14 and cannot hide the tables from a child";
}

void LiveContention::SwitchOff() {
  StopContention();
  static_cast<void>(SwitchHookUse(HookUse::kLocks, false));
  if (reading_) cpu_->RemoveReader(g_contention);
  reading_ = false;
}

ContentionSnapshot LiveContention::Read(ContentionSide side) {
  ContentionSnapshot snapshot;
  snapshot.period_ns = kLockPeriodNs;
  if (!reading_) return snapshot;
  cpu_->FoldNow();
  snapshot.since_unix_ms = UnixMsOf(g_contention->since_ns());
  for (const ContentionStack& stack : g_contention->Stacks()) {
    if (IsOf(side, stack.kind)) snapshot.samples.push_back(ToSample(stack));
  }
  for (const FoldLoss& loss : g_contention->Losses()) {
    if (IsOf(side, loss.kind)) snapshot.samples.push_back(ToSample(loss));
  }
  AddOpenWaits(side, g_contention->since_ns(), MonotonicNs(), &snapshot);
  return snapshot;
}

// After what has ended was read: a wait is taken back from the waiter's stack before it is counted,
// so one that ends meanwhile is in neither, and not in both.
void LiveContention::AddOpenWaits(ContentionSide side, uint64_t from_ns, uint64_t to_ns,
                                  ContentionSnapshot* out) {
  if (side != ContentionSide::kWaiters) return;
  OpenSamples samples;
  open_waits_.Read(MonotonicNs(), [&](WaiterOfTree waiter) {
    const uint64_t begin_ns = std::max(waiter.wait.since_ns, from_ns);
    if (begin_ns < to_ns) samples.Add(std::move(waiter), to_ns - begin_ns);
  });
  samples.MoveTo(&out->samples);
  out->notes = open_waits_.NotLookedAt();
}

// Of a stack that was in several steps there are several samples, which the builder adds up.
ContentionPast LiveContention::ReadPast(ContentionSide side, int64_t from_unix_ns,
                                        int64_t to_unix_ns) {
  ContentionPast answer;
  const sonde::Past past = past_(MonotonicOf(from_unix_ns), MonotonicOf(to_unix_ns));
  answer.window = TimesOf(past, UtcOffset());
  answer.counts.period_ns = kLockPeriodNs;
  if (reading_) answer.counts.since_unix_ms = UnixMsOf(g_contention->since_ns());
  std::vector<ContentionSample>& samples = answer.counts.samples;
  for (const FoldProfile& piece : past.pieces) {
    for (const FoldSample& sample : piece.samples) {
      if (IsOf(side, sample.kind)) samples.push_back(ToSample(sample));
    }
    for (const FoldLoss& loss : piece.losses) {
      if (IsOf(side, loss.kind)) samples.push_back(ToSample(loss));
    }
  }
  if (!reading_) return answer;
  const uint64_t from_ns = MonotonicOf(answer.window.from_unix_ns);
  AddOpenWaits(side, std::max(from_ns, g_contention->since_ns()),
               MonotonicOf(answer.window.to_unix_ns), &answer.counts);
  return answer;
}

std::vector<ContentionTotal> LiveContention::Totals() {
  std::vector<ContentionTotal> totals;
  if (!reading_) return totals;
  for (uint32_t i = 0; i < kKindLimit; ++i) {
    const Kind kind = static_cast<Kind>(i);
    if (!IsContention(kind)) continue;
    const Contention::Sum sum = g_contention->Total(kind);
    totals.push_back({kind == Kind::kUnlock ? "holders" : LockName(kind), sum.contentions,
                      static_cast<double>(sum.delay_ns) / 1e9});
  }
  return totals;
}

void StopContention() { static_cast<void>(SondeMeasureLocks(false)); }

void LiveContentionAfterFork() {
  g_contention = nullptr;
  LockWaitsAfterFork();
}

}  // namespace sonde::life
