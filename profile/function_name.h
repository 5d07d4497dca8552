// SPDX-License-Identifier: Apache-2.0
// Function names as people read them. Pure; used by the agent for sentences, by the command for
// everything that has one line.
#pragma once

#include <string>
#include <string_view>

namespace sonde {

// Fit for one line: no parameter list, no template arguments, no clone suffix.
std::string ShortFunctionName(std::string_view name);

}  // namespace sonde
