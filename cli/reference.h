// SPDX-License-Identifier: Apache-2.0
// The reference part of docs/cli.md, made from the CLI11 tree. A pure function.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sonde::cli {

// Markdown: one section a verb, one table row an option.
std::string ReferenceMarkdown(const CLI::App& root);

}  // namespace sonde::cli
