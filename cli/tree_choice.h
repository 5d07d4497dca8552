// SPDX-License-Identifier: Apache-2.0
// Which nodes of a call tree are worth showing, and in what order. Used by the text tree and the
// flame graphs. Pure functions. Memory: one bit a node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "profile/report.h"

namespace sonde::cli {

// The heaviest `most` nodes and the root. Callers weigh at least as much as what they call, so
// taking the heaviest and, among equals, the one nearer to the root leaves no node without its
// caller. (In a difference values may cancel out; a node whose caller is left out is then not
// reached from the root, and not shown.)
std::vector<bool> ChooseHeaviest(const pprof::CallTree& tree, size_t most);

struct PlacedNode {
  uint32_t node = 0;    // index into the tree's nodes
  uint32_t parent = 0;  // index into the placed ones; the root's is itself
  uint32_t depth = 0;   // of the root: 0
  int64_t start = 0;    // where it begins, in the tree's own unit
};

// The chosen nodes, callers before what they call, side by side under their caller: a flame graph's
// layout. Nodes below `least` are left out with all that they call.
std::vector<PlacedNode> PlaceNodes(const pprof::CallTree& tree, const std::vector<bool>& chosen,
                                   int64_t least);

}  // namespace sonde::cli
