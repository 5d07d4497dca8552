// SPDX-License-Identifier: Apache-2.0
// Reads a core file of the kernel's or of gdb's gcore. Whatever is wrong with it is an error or a
// named problem that says what was expected. Memory: see core_memory.h; notes up to kMaxNotes.
#pragma once

#include <cstddef>
#include <string>

#include "cli/stacks/frozen_process.h"

namespace sonde::cli {

struct CoreFile {
  FrozenProcess process;
  std::string cause;  // "SIGSEGV in tid 7", empty: it was taken of a process that lived
};

// Throws CliError.
CoreFile OpenCore(const std::string& path);

}  // namespace sonde::cli
