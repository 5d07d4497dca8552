// SPDX-License-Identifier: Apache-2.0
// The answer for a pid without an agent: why, what /proc shows, what to do. Used by the verbs that
// take a pid.
#pragma once

#include "cli/connection.h"
#include "cli/outcome.h"

namespace sonde::cli {

// Looks for two seconds, prints, and returns "not covered".
ExitCode ShowWithoutAgent(const NoAgent& none, bool json);

}  // namespace sonde::cli
