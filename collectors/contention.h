// SPDX-License-Identifier: Apache-2.0
// The cold side of lock contention: what the lock hooks counted since they were switched on, by
// call stack. A sink of the fold; agent thread only. Memory: below kMaxBytes; when it is used up
// the lighter half of the stacks is given up and counted as lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectors/fold_counts.h"
#include "collectors/fold_sink.h"
#include "collectors/fold_stacks.h"

namespace sonde {

// kUnlock and the kinds of waiting.
constexpr bool IsContention(Kind kind) { return kind >= Kind::kUnlock && kind <= Kind::kWaitJoin; }

struct ContentionStack {
  std::vector<uint64_t> frames;  // return addresses, leaf first
  int pid = 0;
  Kind kind = Kind::kNone;
  uint64_t contentions = 0;
  uint64_t delay_ns = 0;
};

class Contention : public FoldSink {
 public:
  static constexpr size_t kMaxBytes = 1 << 20;
  struct Sum {
    uint64_t contentions = 0;
    uint64_t delay_ns = 0;
  };

  // Everything begins anew.
  void Begin(uint64_t now_ns);
  [[nodiscard]] uint64_t since_ns() const { return since_ns_; }

  [[nodiscard]] std::vector<ContentionStack> Stacks() const;
  [[nodiscard]] std::vector<FoldLoss> Losses() const;
  // Of everything of this kind, given-up stacks included.
  [[nodiscard]] Sum Total(Kind kind) const { return sums_[static_cast<size_t>(kind)]; }

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind kind, DropReason reason, uint64_t events, uint64_t amount) override;
  void OnFoldEnd(uint64_t) override {}

 private:
  uint64_t since_ns_ = 0;
  InternedStacks stacks_;
  FoldCounts counts_{&stacks_};
  Sum sums_[kKindLimit] = {};
};

}  // namespace sonde
