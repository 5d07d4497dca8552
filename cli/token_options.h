// SPDX-License-Identifier: Apache-2.0
// The options of a verb that changes something: how it comes by the agent's token. Used by the
// verbs when they declare themselves; no state.
#pragma once

#include "cli/target.h"

namespace sonde::cli {

// Declares them on a verb; *options must outlive the parse.
void AddTokenOptions(CLI::App* verb, TargetOptions* options);

}  // namespace sonde::cli
