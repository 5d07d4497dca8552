// SPDX-License-Identifier: Apache-2.0
// The call tree of a ProfileView, from the roots down, as text and as JSON: the heaviest N nodes,
// which with their callers are again a tree. Pure functions. Memory: the tree.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/profile_view.h"
#include "cli/render.h"

namespace sonde::cli {

// A line a node; indented where a caller calls several, so that deep stacks stay readable.
void RenderTree(std::ostream& out, const Terminal& terminal, const ProfileView& view);

// {name, place, module, flat, cumulative, children}; `left_out` counts what --top cut.
nlohmann::json TreeToJson(const ProfileView& view);

}  // namespace sonde::cli
