// SPDX-License-Identifier: Apache-2.0
// A profile as one HTML file with a flame graph to click through: zoom, search. It
// loads nothing and may be mailed. Pure function. Memory: the text, with the
// heaviest kMaxPageNodes nodes.
#pragma once

#include <string>

#include "cli/profile_view.h"

namespace sonde::cli {

inline constexpr size_t kMaxPageNodes = 100'000;

std::string FlamePage(const ProfileView& view, const std::string& title);

}  // namespace sonde::cli
