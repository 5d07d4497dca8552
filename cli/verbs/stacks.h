// SPDX-License-Identifier: Apache-2.0
// The verbs of the profiles that count by stack; as those of verbs.h, which lists them.
#pragma once

#include "cli/verbs/verbs.h"

namespace sonde::cli {

Action DeclareWall(CLI::App* verb);
Action DeclareMutex(CLI::App* verb);
Action DeclareBlock(CLI::App* verb);
Action DeclareThreadCreate(CLI::App* verb);

}  // namespace sonde::cli
