// SPDX-License-Identifier: Apache-2.0
#include "tests/endpoints/fake_stacks.h"

#include <unistd.h>

#include <utility>

#include "tests/endpoints/fake_sources.h"

namespace sonde::testing {
namespace {

uint64_t Inside(void (*function)()) { return reinterpret_cast<uint64_t>(function) + 5; }

}  // namespace

bool FakeCreators::Read(CreatorsSnapshot* out, std::string* error) {
  if (!on_) {
    *error = "the stacks that make threads are not looked after: SONDE_THREAD_STACKS=off";
    return false;
  }
  const int pid = getpid();
  ++reads_;
  out->samples = {{{Inside(ParseRequest), Inside(HandleConnection)}, pid, 12 * reads_, 8},
                  {{Inside(HashKey), Inside(HandleConnection)}, pid, 3, 1},
                  {{}, pid, 0, 2}};
  out->lost = {{"stack_table_full", 1}};
  return true;
}

std::vector<uint64_t> FakeCreators::CreatorOf(int) {
  return {Inside(ParseRequest), Inside(HandleConnection)};
}

ContentionSnapshot FakeContention::Read(ContentionSide side) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int pid = getpid();
  ++reads_;
  ContentionSnapshot snapshot;
  snapshot.period_ns = 100'000;
  if (side == ContentionSide::kHolders) {
    snapshot.samples = {
        {{Inside(ParseRequest), Inside(HandleConnection)}, "", "", pid, 80, (7 + reads_) * kSecond},
        {{Inside(HashKey), Inside(HandleConnection)}, "", "", pid, 20, 2 * kSecond}};
  } else {
    snapshot.samples = {
        {{Inside(CompressReply), Inside(HandleConnection)}, "mutex", "", pid, 60, 6 * kSecond},
        {{Inside(CompressReply), Inside(HandleConnection)}, "condition", "", pid, 3, 3 * kSecond},
        {{}, "mutex", "[dropped: stack_table_full]", pid, 1, 1000}};
    for (const int64_t delay_ns : ended_) {
      ++snapshot.samples[0].contentions;
      snapshot.samples[0].delay_ns += delay_ns;
    }
    int64_t delay_ns = 0;
    for (const OpenPart& part : open_) delay_ns += part.delay_ns;
    if (!open_.empty()) {
      snapshot.samples.push_back({{Inside(CompressReply), Inside(HandleConnection)},
                                  "mutex",
                                  "",
                                  pid,
                                  static_cast<int64_t>(open_.size()),
                                  delay_ns,
                                  open_});
    }
    if (!open_.empty()) snapshot.notes = {"waits that go on are not known of 2 threads"};
  }
  return snapshot;
}

ContentionPast FakeContention::ReadPast(ContentionSide side, int64_t, int64_t to_unix_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  ContentionPast past{Read(side), {}};
  --reads_;
  past.counts.since_unix_ms = on_ ? (to_unix_ns - 5 * kSecond) / 1'000'000 : 0;
  past.window.from_unix_ns = to_unix_ns - 10 * kSecond;
  past.window.to_unix_ns = to_unix_ns;
  past.window.covered_ns = 10 * kSecond;
  past.window.begins_late = "the agent started then";
  return past;
}

std::vector<ContentionTotal> FakeContention::Totals() {
  if (!on_) return {};
  return {{"holders", 100, 10}, {"mutex", 60, 6}};
}

namespace {

class FakeWallCapture final : public WallCapture {
 public:
  FakeWallCapture(FakeThreads* threads, uint64_t period_ns, std::shared_ptr<WallLooks> looks)
      : reader_(threads->Reader()), wall_(period_ns, 0), looks_(std::move(looks)) {}
  uint64_t Observe(uint64_t now_ns) override {
    if (looks_->first_ns == 0) looks_->first_ns = now_ns;
    looks_->last_ns = now_ns;
    return wall_.Observe(now_ns, &reader_);
  }
  std::vector<WallProcess> Finish(uint64_t now_ns) override {
    Observe(now_ns);
    wall_.Finish();
    return {{getpid(), &wall_}};
  }
  uint64_t agent_cpu_ns() const override { return wall_.agent_cpu_ns(); }

 private:
  ThreadReader reader_;
  Wall wall_;
  const std::shared_ptr<WallLooks> looks_;
};

}  // namespace

std::unique_ptr<WallCapture> FakeWall::OpenWall(uint64_t period_ns) {
  looks_ = std::make_shared<WallLooks>();
  return std::make_unique<FakeWallCapture>(threads_, period_ns, looks_);
}

WallPast FakeWall::ReadPast(int64_t, int64_t to_unix_ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  WallPast past;
  past.window.from_unix_ns = to_unix_ns - 10 * kSecond;
  past.window.to_unix_ns = to_unix_ns;
  past.window.covered_ns = 10 * kSecond;
  past.window.begins_late = "the agent started then";
  if (!on_) return past;
  past.since_unix_ms = (to_unix_ns - 5 * kSecond) / 1'000'000;
  past.samples = {
      {{Inside(HashKey), Inside(HandleConnection)}, "", "worker", getpid(), 7, 232, 7, 7 * kSecond},
      {{}, "[stack cannot be read]", "worker", getpid(), 7, 0, 1, kSecond}};
  return past;
}

}  // namespace sonde::testing
