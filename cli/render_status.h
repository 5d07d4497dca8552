// SPDX-License-Identifier: Apache-2.0
// An agent's /debug/sonde/status as a page. Pure functions of their arguments.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "cli/render.h"

namespace sonde::cli {

// The state and what it covers; the parts that a one-screen look needs.
void RenderState(Page* page, const nlohmann::json& status, int64_t now_unix_ms);
// Cost, losses, processes, threads, tables: the rest.
void RenderDetails(Page* page, const nlohmann::json& status);

}  // namespace sonde::cli
