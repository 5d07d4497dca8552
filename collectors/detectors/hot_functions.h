// SPDX-License-Identifier: Apache-2.0
// Through which functions a busy thread's CPU time goes, however many stacks it has: for each the
// time in it with all that it calls. Used by hot_stacks.h, for what has no room as stacks too.
// Agent thread only. Memory: kMaxFunctions × 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace sonde {

struct FunctionShare {
  uint64_t pc = 0;          // its beginning, or an instruction of it where that is not known
  uint64_t cpu_ns = 0;      // in it and in what it calls
  uint64_t own_ns = 0;      // in itself
  double above_leaf = 0.0;  // how many frames lie below it, on average
};

class FunctionSums {
 public:
  static constexpr size_t kMaxFunctions = 128;

  // A stack, leaf first. One that recurs counts once, where it is nearest to the leaf.
  void Add(std::span<const uint64_t> functions, uint64_t cpu_ns);
  void Add(const FunctionSums& other);
  [[nodiscard]] std::vector<FunctionShare> Shares() const;
  [[nodiscard]] size_t size() const { return sums_.size(); }

 private:
  struct Sum {
    uint64_t cpu_ns = 0;
    uint64_t own_ns = 0;
    double frames_ns = 0;  // frames below it × time
  };

  void MakeRoom();

  std::map<uint64_t, Sum> sums_;
};

// What tells most about `total_ns`. First those that kMostOfIt goes through, the nearest to the
// leaf first; then the heaviest of the others, without those that only lead to one of them.
inline constexpr double kMostOfIt = 0.7;
std::vector<FunctionShare> TellingFunctions(std::vector<FunctionShare> all, uint64_t total_ns);

}  // namespace sonde
