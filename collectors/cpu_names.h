// SPDX-License-Identifier: Apache-2.0
// The names of frames that are no code, as profiles show them. Used by the agent and by who reads a
// region file. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "collectors/fold_counts.h"
#include "collectors/safe/unwind.h"

namespace sonde {

// "[signal blocked]" when the sample's first frame is no address; empty when it is.
std::string LeafNameOf(uint64_t first_frame);

// "[lost: stack table full]".
std::string LeafNameOf(const FoldLoss& loss);

// Why a stack does not reach its root, as its outermost frame; null when it does. `in_generated`:
// its last frame lies in code that the program made at run time.
const char* RootNameOf(StackEnd end, bool in_generated);

}  // namespace sonde
