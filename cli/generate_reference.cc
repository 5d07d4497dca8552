// SPDX-License-Identifier: Apache-2.0
// Prints the reference part of docs/cli.md.
#include <iostream>

#include "cli/command_line.h"
#include "cli/reference.h"

int main() {
  std::cout << sonde::cli::ReferenceMarkdown(sonde::cli::BuildCommandLine()->root);
  return 0;
}
