// SPDX-License-Identifier: Apache-2.0
// The whole command line as one CLI11 tree: parsing, help, completion and the reference in
// docs/cli.md all come from it. Used by main(), the completion verb, the reference generator and
// tests.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/verbs/verbs.h"

namespace sonde::cli {

struct CommandLine {
  CLI::App root{"What net/http/pprof is to Go, for native services already running."};
  Action chosen;  // set by the parse
};

std::unique_ptr<CommandLine> BuildCommandLine();

// Parses and runs. Errors are written to stderr; the result is the exit code.
ExitCode RunCommandLine(int argc, const char* const* argv);

}  // namespace sonde::cli
