// SPDX-License-Identifier: Apache-2.0
// The answer of `sonde memory`: the cgroup, the parts of the RSS with bars, the verdict. Pure
// functions of the agent's JSON (docs: /debug/sonde/memory).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/outcome.h"
#include "cli/render.h"

namespace sonde::cli {

// `target` as it was typed, for the next command.
void RenderMemory(Page* page, const nlohmann::json& memory, const std::string& target);

// A finding near the limit; inconclusive when a part of the memory cannot be accounted for.
ExitCode JudgeMemory(const nlohmann::json& memory);

}  // namespace sonde::cli
