// SPDX-License-Identifier: Apache-2.0
// How findings look in a terminal. Reads /debug/sonde/findings. Pure, but for the stream.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "cli/connection.h"
#include "cli/render.h"

namespace sonde::cli {

// The agent's answer, only of the process that was asked for. Throws what is wrong with it.
nlohmann::json FetchFindings(Connection* connection);

// Of these kinds (none: of all), and going on or ended within the last `window_ms`.
nlohmann::json ChooseFindings(const nlohmann::json& answer, const std::vector<std::string>& kinds,
                              int64_t window_ms);

// One finding: what, when, its stacks. "HOT NOW", "ENDED", "DEADLOCK" …
void RenderFinding(Page* page, const nlohmann::json& finding);

// What was not looked for.
void RenderNotSearched(Page* page, const nlohmann::json& answer);

// Its next command, for this target.
std::string NextOf(const nlohmann::json& finding, const std::string& target);

inline constexpr int64_t kFindingsKeptMs = 900'000;

}  // namespace sonde::cli
