// SPDX-License-Identifier: Apache-2.0
// The table of verbs. One file a verb; each declares its options on a CLI11 sub-command and returns
// what to run once the command line is parsed. To add a verb: write its file, add its line to
// verbs.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace sonde::cli {

using Action = std::function<ExitCode()>;

struct Verb {
  const char* name;
  const char* summary;
  Action (*declare)(CLI::App* verb);
};

// In the order in which help shows them.
std::span<const Verb> Verbs();

// CLI11's validators, without their description, which would be glued to the option's type in help.
inline CLI::Validator InRange(int from, int to) { return CLI::Range(from, to).description(""); }
inline CLI::Validator OneOf(const std::vector<std::string>& words) {
  return CLI::IsMember(words).description("");
}

// The front door, `sonde TARGET`: declared on the root.
Action DeclareLook(CLI::App* root);

Action DeclareRun(CLI::App* verb);
Action DeclareCpu(CLI::App* verb);
Action DeclareFindings(CLI::App* verb);
Action DeclareHot(CLI::App* verb);
Action DeclareTop(CLI::App* verb);
Action DeclareThreads(CLI::App* verb);
Action DeclareHeap(CLI::App* verb);
Action DeclareMemory(CLI::App* verb);
Action DeclareDiff(CLI::App* verb);
Action DeclareStatus(CLI::App* verb);
Action DeclareSet(CLI::App* verb);
Action DeclareOff(CLI::App* verb);
Action DeclareOn(CLI::App* verb);
Action DeclareList(CLI::App* verb);
Action DeclareCompletion(CLI::App* verb);
Action DeclareVersion(CLI::App* verb);

}  // namespace sonde::cli
