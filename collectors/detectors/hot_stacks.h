// SPDX-License-Identifier: Apache-2.0
// What busy threads did, second by second: the stacks of exactly one thread in exactly one period.
// A sink of the fold; agent thread only.
//
// Each of the busiest threads since the fold before has a bucket for that time;
// the last kBuckets are kept, and of a thread that is held, the sum of everything since. Memory: at
// most kMaxThreads × (kBuckets + 1) × kMaxStacks stacks. A loop is sampled at each of its
// instructions, so where there are more, those through the same functions become one; then the
// lighter half goes into "other", of which only the functions are known (hot_functions.h).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "collectors/detectors/hot_functions.h"
#include "collectors/fold_sink.h"

namespace sonde {

struct StackShare {
  std::vector<uint64_t> frames;  // leaf first; empty: everything that had no room
  uint64_t cpu_ns = 0;
};

class HotStacks : public FoldSink {
 public:
  static constexpr size_t kBuckets = 16;
  static constexpr size_t kMaxThreads = 16;
  static constexpr size_t kMaxStacks = 64;

  // Where the function of a process that holds a pc begins; 0: not known.
  using StartOf = std::function<uint64_t(int pid, uint64_t pc)>;

  explicit HotStacks(uint64_t now_ns, StartOf start_of = {})
      : start_of_(std::move(start_of)), folded_ns_(now_ns) {}

  void OnDelta(const FoldDelta& delta) override;
  void OnLost(Kind, DropReason, uint64_t, uint64_t) override {}
  void OnFoldEnd(uint64_t now_ns) override;

  // From now on everything of this thread since `since_ns` is kept. Repeating it changes nothing.
  void Hold(int pid, int tid, uint64_t since_ns);
  void Release(int pid, int tid);

  // One for each way through functions, heaviest first, of a thread that is held. The newest
  // samples of a thread, if it is busy.
  [[nodiscard]] std::vector<StackShare> StacksOf(int pid, int tid) const;
  [[nodiscard]] std::vector<uint64_t> LastStackOf(int pid, int tid) const;
  // All functions that take part, of a thread that is held; but for the lightest.
  [[nodiscard]] std::vector<FunctionShare> FunctionsOf(int pid, int tid) const;

  // Bytes of the stacks that are kept.
  [[nodiscard]] size_t memory_bytes() const;

 private:
  struct Sums {
    std::map<std::vector<uint64_t>, uint64_t> stacks;  // the empty one: "other"
    FunctionSums functions;                            // of what is in "other"
  };
  struct Bucket {
    uint64_t from_ns = 0;
    uint64_t to_ns = 0;
    Sums sums;
  };
  struct Thread {
    std::deque<Bucket> buckets;
    Bucket open;
    uint64_t open_ns = 0;  // CPU time in it
    bool held = false;
    Sums held_sums;
  };

  [[nodiscard]] uint64_t BusiestButFew() const;
  void AddTo(int pid, Sums* sums, const std::vector<uint64_t>& frames, uint64_t cpu_ns) const;
  void AddAll(int pid, Sums* sums, const Sums& more) const;
  void MakeRoom(int pid, Sums* sums) const;
  [[nodiscard]] std::vector<uint64_t> ByFunction(int pid,
                                                 const std::vector<uint64_t>& frames) const;
  [[nodiscard]] std::vector<StackShare> MergeByFunction(int pid, const Sums& sums) const;

  const StartOf start_of_;
  std::map<std::pair<int, int>, Thread> threads_;
  uint64_t folded_ns_;
};

}  // namespace sonde
