// SPDX-License-Identifier: Apache-2.0
// A profile as a flame graph in one SVG: a picture for a ticket or a README, each box with its full
// name and numbers as tooltip. Pure function. Memory: the text; boxes narrower than half a pixel
// are left out.
#pragma once

#include <string>
#include <string_view>

#include "cli/profile_view.h"

namespace sonde::cli {

std::string FlameSvg(const ProfileView& view, const std::string& title);

// For text and attribute values of XML and HTML; bytes that it forbids become '?'.
std::string EscapeMarkup(std::string_view text);

}  // namespace sonde::cli
