// SPDX-License-Identifier: Apache-2.0
#include "cli/tree_choice.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sonde::cli {

std::vector<bool> ChooseHeaviest(const pprof::CallTree& tree, size_t most) {
  std::vector<uint32_t> order(tree.nodes.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto weight = [&](uint32_t i) {
    return std::abs(static_cast<double>(tree.nodes[i].cumulative));
  };
  std::sort(order.begin() + 1, order.end(), [&](uint32_t a, uint32_t b) {
    return std::make_pair(-weight(a), a) < std::make_pair(-weight(b), b);
  });
  std::vector<bool> chosen(tree.nodes.size());
  for (size_t i = 0; i < std::min(order.size(), most + 1); ++i) chosen[order[i]] = true;
  return chosen;
}

std::vector<PlacedNode> PlaceNodes(const pprof::CallTree& tree, const std::vector<bool>& chosen,
                                   int64_t least) {
  std::vector<PlacedNode> placed;
  std::vector<PlacedNode> pending = {PlacedNode{}};
  while (!pending.empty()) {
    const PlacedNode next = pending.back();
    pending.pop_back();
    const auto at = static_cast<uint32_t>(placed.size());
    placed.push_back(next);
    int64_t start = next.start;
    const size_t first = pending.size();
    for (const uint32_t child : tree.nodes[next.node].children) {
      const int64_t width = tree.nodes[child].cumulative;
      if (!chosen[child] || width <= 0 || width < least) continue;
      pending.push_back({child, at, next.depth + 1, start});
      start += width;
    }
    std::reverse(pending.begin() + static_cast<std::ptrdiff_t>(first), pending.end());
  }
  return placed;
}

}  // namespace sonde::cli
