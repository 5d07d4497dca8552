// SPDX-License-Identifier: Apache-2.0
// A profile in speedscope's own file format (https://www.speedscope.app/file-format-schema.json).
// Pure function. Memory: the text.
#pragma once

#include <string>

#include "cli/profile_view.h"

namespace sonde::cli {

// One profile a thread, the heaviest first; threads beyond the first hundred are one. Values below
// zero, which only a difference has, have no place in the format and are left out.
std::string Speedscope(const ProfileView& view, const std::string& title);

}  // namespace sonde::cli
