// SPDX-License-Identifier: Apache-2.0
// Fewer samples while the tables that they need are filling up: of live blocks, of stacks, of the
// stacks' frames. A live block knows the interval that it stands for, so its weight stays right
// whatever becomes of the interval; a sample that finds no room for its stack is only counted.
//
// Called by the agent thread at each tick. Not thread-safe. Memory: one object.
#pragma once

#include <cstdint>

namespace sonde {

// As of the last fold.
struct TableFill {
  uint64_t live_percent = 0;
  int live_doublings = 0;       // what live blocks have just been thinned by, for room; 0: not
  uint64_t stacks_percent = 0;  // of stacks, their frames and their cells, the fullest
  // What is allocated, as samples estimate it; of those that found room, and of those that did not.
  uint64_t taken_bytes = 0;
  uint64_t lost_bytes = 0;
};

class HeapThinning {
 public:
  // Live blocks are thinned when they fill the one, to below the other.
  static constexpr uint64_t kLiveIsFullAt = 70;
  static constexpr uint64_t kLiveIsThinBelow = 55;
  // A loss is answered by as many doublings as would have kept it, and then not before they show: a
  // full table takes some folds to empty. Back it goes slowly, since more comes in with each step.
  static constexpr uint64_t kShowsAfterNs = 4'000'000'000;
  static constexpr uint64_t kCalmNs = 10'000'000'000;
  static constexpr int kMostDoublings = 12;

  // `start`: what was taken and lost so far.
  explicit HeapThinning(const TableFill& start = {})
      : taken_bytes_(start.taken_bytes), lost_bytes_(start.lost_bytes) {}

  // How often the interval is to be doubled from now on.
  int Update(const TableFill& fill, uint64_t now_ns);
  [[nodiscard]] int doublings() const { return doublings_; }

 private:
  [[nodiscard]] int DoublingsForLoss(const TableFill& fill);

  uint64_t taken_bytes_;
  uint64_t lost_bytes_;
  int doublings_ = 0;
  uint64_t changed_ns_ = 0;
  uint64_t answered_loss_ns_ = 0;  // 0: never
};

}  // namespace sonde
