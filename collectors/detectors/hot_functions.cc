// SPDX-License-Identifier: Apache-2.0
#include "collectors/detectors/hot_functions.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace sonde {
namespace {

constexpr size_t kMaxOfMost = 8;
constexpr size_t kMaxOfOthers = 5;
constexpr double kLeastShare = 0.05;
constexpr double kSameShare = 0.02;

// Another one, nearer to the leaf, has nearly all of its time.
bool OnlyLeadsTo(const FunctionShare& function, const std::vector<FunctionShare>& all,
                 uint64_t same_ns) {
  return std::ranges::any_of(all, [&](const FunctionShare& other) {
    return other.above_leaf < function.above_leaf && other.cpu_ns + same_ns >= function.cpu_ns;
  });
}

uint64_t PartOf(uint64_t total_ns, double share) {
  return static_cast<uint64_t>(static_cast<double>(total_ns) * share);
}

}  // namespace

// The lighter half goes: what most stacks have in common stays; of what all have in common, what is
// nearest to the leaf.
void FunctionSums::MakeRoom() {
  std::vector<FunctionShare> all = Shares();
  std::ranges::sort(all, [](const FunctionShare& a, const FunctionShare& b) {
    return std::pair(a.cpu_ns, b.above_leaf) < std::pair(b.cpu_ns, a.above_leaf);
  });
  for (size_t i = 0; i < all.size() / 2; ++i) sums_.erase(all[i].pc);
}

// From the root on: if there is no room, it is the leaves that go.
void FunctionSums::Add(std::span<const uint64_t> functions, uint64_t cpu_ns) {
  for (size_t i = functions.size(); i-- > 0;) {
    const uint64_t pc = functions[i];
    if (std::ranges::find(functions.first(i), pc) != functions.first(i).end()) continue;
    if (sums_.size() >= kMaxFunctions && !sums_.contains(pc)) MakeRoom();
    Sum& sum = sums_[pc];
    sum.cpu_ns += cpu_ns;
    sum.own_ns += i == 0 ? cpu_ns : 0;
    sum.frames_ns += static_cast<double>(i) * static_cast<double>(cpu_ns);
  }
}

void FunctionSums::Add(const FunctionSums& other) {
  for (const auto& [pc, more] : other.sums_) {
    if (sums_.size() >= kMaxFunctions && !sums_.contains(pc)) MakeRoom();
    Sum& sum = sums_[pc];
    sum.cpu_ns += more.cpu_ns;
    sum.own_ns += more.own_ns;
    sum.frames_ns += more.frames_ns;
  }
}

std::vector<FunctionShare> FunctionSums::Shares() const {
  std::vector<FunctionShare> shares;
  for (const auto& [pc, sum] : sums_) {
    const double frames = sum.cpu_ns > 0 ? sum.frames_ns / static_cast<double>(sum.cpu_ns) : 0;
    shares.push_back({pc, sum.cpu_ns, sum.own_ns, frames});
  }
  return shares;
}

std::vector<FunctionShare> TellingFunctions(std::vector<FunctionShare> all, uint64_t total_ns) {
  const uint64_t most_ns = PartOf(total_ns, kMostOfIt);
  const uint64_t same_ns = PartOf(total_ns, kSameShare);
  std::ranges::sort(all, {}, &FunctionShare::above_leaf);
  std::vector<FunctionShare> telling;
  for (const FunctionShare& function : all) {
    if (function.cpu_ns >= most_ns && telling.size() < kMaxOfMost) telling.push_back(function);
  }
  std::vector<FunctionShare> others;
  for (const FunctionShare& function : all) {
    if (function.cpu_ns >= most_ns || function.cpu_ns < PartOf(total_ns, kLeastShare)) continue;
    if (!OnlyLeadsTo(function, all, same_ns)) others.push_back(function);
  }
  std::ranges::stable_sort(others, std::greater<>(), &FunctionShare::cpu_ns);
  if (others.size() > kMaxOfOthers) others.resize(kMaxOfOthers);
  telling.insert(telling.end(), others.begin(), others.end());
  return telling;
}

}  // namespace sonde
