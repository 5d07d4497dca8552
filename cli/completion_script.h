// SPDX-License-Identifier: Apache-2.0
// Shell completion, made from the CLI11 tree so that it cannot drift from the options. Pure
// functions.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sonde::cli {

std::string BashCompletion(const CLI::App& root);
std::string ZshCompletion(const CLI::App& root);
std::string FishCompletion(const CLI::App& root);

}  // namespace sonde::cli
