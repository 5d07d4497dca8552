// SPDX-License-Identifier: Apache-2.0
// What an agent left in its region file (SONDE_DIR), of a process that is dead, of one that lives,
// or from another machine: its recording of the last minutes as a profile. One thread. Memory: the
// region, and what it holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/capture.h"

namespace sonde::cli {

// Whether the file begins as a region does.
bool IsRegionFile(const std::string& path);

// The part of the recording that is asked for; all of it without a question. `last` counts from the
// end of the recording. Throws CliError: cut off, of another version, no region, nothing recorded.
Captured ReadRegionFile(const std::string& path, const PastQuestion& question);

}  // namespace sonde::cli
