// SPDX-License-Identifier: Apache-2.0
// Known numbers for the profiles that count by stack: who makes threads, who waits for locks.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/endpoints/contention_source.h"
#include "agent/endpoints/creators_source.h"
#include "agent/endpoints/wall_source.h"
#include "tests/endpoints/fake_threads.h"

namespace sonde::testing {

// Eleven threads live, twelve more were made at each Read; of two of them nobody knows who made
// them.
class FakeCreators final : public CreatorsSource {
 public:
  bool Read(CreatorsSnapshot* out, std::string* error) override;
  CreatorsTotals Totals() override { return {on_, 9, 1}; }
  std::vector<uint64_t> CreatorOf(int tid) override;
  void Switch(bool on) { on_ = on; }

 private:
  bool on_ = true;
  int64_t reads_ = 0;
};

// Holders: 8 s in ParseRequest and 2 s in HashKey, a second more at each Read. Waiters: 6 s for
// mutexes, 3 s for conditions.
class FakeContention final : public ContentionSource {
 public:
  const char* WhyOff() const override { return on_ ? nullptr : "SONDE_LOCKS=off"; }
  ContentionSnapshot Read(ContentionSide side) override;
  // A recording that begins 10 s before `to`; switched on 5 s before it.
  ContentionPast ReadPast(ContentionSide side, int64_t from_unix_ns, int64_t to_unix_ns) override;
  std::vector<ContentionTotal> Totals() override;
  void Switch(bool on) { on_ = on; }
  // Waits that have not ended, at the stack of those for mutexes.
  void SetOpen(std::vector<OpenPart> open) { open_ = std::move(open); }
  // One that has, as long as this.
  void End(int64_t delay_ns) { ended_.push_back(delay_ns); }

 private:
  bool on_ = true;
  int64_t reads_ = 0;
  std::vector<OpenPart> open_;
  std::vector<int64_t> ended_;
};

// When all threads were looked at; CLOCK_MONOTONIC.
struct WallLooks {
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
};

// The threads of the test itself.
class FakeWall final : public WallSource {
 public:
  explicit FakeWall(FakeThreads* threads) : threads_(threads) {}
  std::unique_ptr<WallCapture> OpenWall(uint64_t period_ns) override;
  const char* WhyNotRecorded() const override { return on_ ? nullptr : "SONDE_WALL=off"; }
  // 10 s before `to`, of which one thread waited 8; recorded since 5 s before it.
  WallPast ReadPast(int64_t from_unix_ns, int64_t to_unix_ns) override;
  void Switch(bool on) { on_ = on; }
  // Of the capture that was opened last.
  [[nodiscard]] const WallLooks& looks() const { return *looks_; }

 private:
  bool on_ = true;
  FakeThreads* threads_;
  std::shared_ptr<WallLooks> looks_ = std::make_shared<WallLooks>();
};

}  // namespace sonde::testing
